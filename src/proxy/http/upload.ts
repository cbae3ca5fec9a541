// The body of a request on its way from the client to the try that counts: sent on as it comes, and kept
// (request-copy.ts) while there is no endpoint to send it to, or it may have to go to another one. Where what
// comes has nowhere to go the client is held.
import type { Service } from '../../model/service.ts';
import type { Attempts } from './attempts.ts';
import type { BodyPiece } from './body-piece.ts';
import type { BodySource } from './body-source.ts';
import type { ClientSide } from './client-side.ts';
import type { RequestCopy } from './request-copy.ts';

/** The exchange whose request it is of. */
export interface UploadOwner {
  readonly client: ClientSide;
  readonly service: Service;
  /** No endpoint has been sent anything. */
  readonly isUnsent: boolean;
}

export class Upload {
  /** Bytes that have come. */
  bytes = 0;
  private readonly owner: UploadOwner;
  private readonly attempts: Attempts;
  private readonly copy: RequestCopy;
  /** Bytes that the head has announced; 0 where it did not. */
  private announced = 0;

  constructor(owner: UploadOwner, attempts: Attempts, copy: RequestCopy) {
    this.owner = owner;
    this.attempts = attempts;
    this.copy = copy;
  }

  /** `announced`: Content-Length, 0 where there is none. */
  begin(announced: number): void {
    this.bytes = 0;
    this.announced = announced;
  }

  /** More has come, or was announced, than the service takes. */
  get isTooLarge(): boolean {
    const { bodyBytes } = this.owner.service.limits;
    return bodyBytes > 0 && Math.max(this.bytes, this.announced) > bodyBytes;
  }

  /** More of it has come. `too-large`: nothing was made of it. */
  take(source: BodySource, piece: BodyPiece): 'too-large' | 'kept' | 'sent' {
    const { attempts, copy } = this;
    const { client, isUnsent, service } = this.owner;
    this.bytes += piece.to - piece.from;
    if (this.isTooLarge) return 'too-large';
    const { bodyBytesMax } = service.retry;
    if (isUnsent) {
      copy.append(piece);
      // No endpoint to send it to yet: the client waits.
      if (this.bytes >= bodyBytesMax) client.hold();
      return 'kept';
    }
    if (this.bytes > bodyBytesMax) copy.giveUp();
    copy.append(piece);
    if (!attempts.current.sendBody(source, piece)) client.hold();
    return 'sent';
  }

  /** What was kept is sent; `isTaken`: the endpoint has taken all of it. */
  sent(isTaken: boolean): void {
    const { copy } = this;
    const { client, service } = this.owner;
    if (this.bytes > service.retry.bodyBytesMax) copy.giveUp();
    if (copy.isDone) return;
    if (isTaken) client.release();
    else client.hold();
  }

  /** The endpoint has taken everything. */
  drained(): void {
    this.copy.takeBack();
    this.owner.client.release();
  }

  /** Nothing is awaited of the client: it has sent everything, or is not read. */
  get isEndpointsTurn(): boolean {
    return this.copy.isDone || this.owner.client.isHeld;
  }
}
