/** What is needed of a socket before there is a wire: this much of Node's `net.Socket`. */
export interface RawSocket {
  readonly remoteAddress?: string | undefined;
  readonly destroyed: boolean;
  on(event: 'data', listener: (bytes: Buffer) => void): this;
  on(event: 'end' | 'close', listener: () => void): this;
  on(event: 'error', listener: (error: Error) => void): this;
  off(event: 'data', listener: (bytes: Buffer) => void): this;
  off(event: 'end' | 'error' | 'close', listener: () => void): this;
  pause(): unknown;
  resume(): unknown;
  /** The bytes are the first to be read. */
  unshift(bytes: Buffer): unknown;
  destroy(): unknown;
  resetAndDestroy(): unknown;
}
