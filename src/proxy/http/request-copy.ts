// The request as long as it may have to go to another endpoint: its head as we wrote it, and the
// content of its body as far as it has come. The bytes of an unfinished write stay what they are until
// it is done.
import { assert } from '../../base/assert.ts';
import { HeadWriter } from '../../http1/head-writer.ts';
import type { BodyPiece } from './body-piece.ts';

const HOST = '\r\nHost: ';

export class RequestCopy {
  /** For the head. */
  readonly writer = new HeadWriter();
  /** Everything that has come can be sent again. */
  isWhole = true;
  /** The body has arrived completely. */
  isDone = false;
  /** The body leaves in chunks, where the protocol has any. */
  isChunked = false;
  /** As in BodyPiece, when the body is done. */
  trailers = '';
  /** Each endpoint gets its own name as Host, in the place of the one in the head. */
  wantsOwnHost = false;
  private headBytes = 0;
  private isLent = false;

  /** As new. Then the head is written, and `headWritten` called. */
  reset(wantsOwnHost: boolean): void {
    assert(!this.isLent, 'the bytes of an unfinished write are not written over');
    this.wantsOwnHost = wantsOwnHost;
    this.writer.reset();
    this.isWhole = true;
    this.trailers = '';
  }

  /** The writer holds the head; what is appended from now on is content. */
  headWritten(isChunked: boolean, isDone: boolean): void {
    this.headBytes = this.writer.length;
    this.isChunked = isChunked;
    this.isDone = isDone;
  }

  /** More of the body. */
  append({ base, from, to, isLast, trailers }: BodyPiece): void {
    if (isLast) {
      this.isDone = true;
      this.trailers = trailers;
    }
    if (this.isWhole) this.writer.copy(base, from, to);
  }

  /** The body has outgrown the copy: what is sent now is sent once. */
  giveUp(): void {
    this.isWhole = false;
  }

  /** Bytes of `view` that are the head; the rest is content. */
  get headLength(): number {
    return this.headBytes;
  }

  /** Head and content. */
  get view(): Buffer {
    return this.writer.view();
  }

  get head(): Buffer {
    return this.writer.view().subarray(0, this.headBytes);
  }

  /** The head with another Host, which it has behind its first line: bytes of the caller's own. */
  headFor(host: string): Buffer {
    const { head } = this;
    const from = head.indexOf(HOST) + HOST.length;
    const to = head.indexOf('\r\n', from);
    assert(from >= HOST.length && to >= from, 'a head has a Host');
    const parts = [head.subarray(0, from), Buffer.from(host, 'latin1'), head.subarray(to)];
    return Buffer.concat(parts);
  }

  get content(): Buffer {
    return this.writer.view().subarray(this.headBytes);
  }

  /** An unfinished write refers to the bytes. */
  lend(): void {
    this.isLent = true;
  }

  /** The write is done. */
  takeBack(): void {
    this.isLent = false;
  }

  /** The write has failed, and may still refer to the bytes: what has to go again moves. */
  rescue(): void {
    if (!this.isLent) return;
    const bytes = Buffer.from(this.writer.view());
    this.writer.abandonBuffer();
    this.writer.copy(bytes, 0, bytes.length);
    this.isLent = false;
  }

  /** The request is done with: what an unfinished write refers to, or is large, is not kept. */
  letGo(): void {
    if (this.isLent) this.writer.abandonBuffer();
    else this.writer.giveBack();
    this.isLent = false;
  }
}
