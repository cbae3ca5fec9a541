// A piece of content of a stream, on its way through an exchange; one object is filled again and again.
import type { Content } from '../../../http2/stream.ts';
import type { BodyPiece } from '../body-piece.ts';

const NOTHING = Buffer.alloc(0);

export class StreamPiece implements BodyPiece {
  base: Buffer = NOTHING;
  from = 0;
  to = 0;
  room = 0;
  isLast = false;
  trailers = '';

  set({ base, from, to, room }: Content, isLast: boolean): this {
    this.base = base;
    this.from = from;
    this.to = to;
    this.room = room;
    this.isLast = isLast;
    this.trailers = '';
    return this;
  }

  /** No content: the message goes on, or has ended. */
  nothing(isLast: boolean): this {
    this.base = NOTHING;
    this.from = 0;
    this.to = 0;
    this.room = 0;
    this.isLast = isLast;
    this.trailers = '';
    return this;
  }

  /** The message has ended, with these trailers or ''. */
  end(trailers: string): this {
    this.nothing(true);
    this.trailers = trailers;
    return this;
  }
}
