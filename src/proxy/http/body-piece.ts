// A piece of a message body on its way from one side of an exchange to the other: content alone, in
// the buffer that it was read into, without the framing of either side.

export interface BodyPiece {
  /** base[from,to) is content; it may be empty. Valid until the call that hands it over returns. */
  readonly base: Buffer;
  readonly from: number;
  readonly to: number;
  /**
   * What lies before `from` has been consumed, and base[to,room) is framing or spare room of the
   * same message: the sender of the piece may write its own framing there.
   */
  readonly room: number;
  /** Nothing follows. */
  readonly isLast: boolean;
  /** With the last piece: the trailer section, one CRLF per line; '' for none. */
  readonly trailers: string;
}
