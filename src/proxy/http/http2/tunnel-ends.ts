// The ends of a tunnel that are streams: content is what passes, END_STREAM is the end (RFC 8441 section 5).
import { TimerEntry, type TimerOwner, type TimerWheel } from '../../../base/timer-wheel.ts';
import { ErrorCode } from '../../../http2/protocol.ts';
import type { Session } from '../../../http2/session.ts';
import type { Stream, StreamUser } from '../../../http2/stream.ts';
import type { UpstreamUser } from '../../upstream-connection.ts';
import type { BodySource } from '../body-source.ts';
import type { TunnelClient, TunnelUpstream } from '../tunnel.ts';

/** Whose the stream is: what is read from it, and when. */
interface TunnelledStream extends BodySource {
  hold(): void;
  release(): void;
}

class StreamEnd<Owner extends TunnelledStream> {
  readonly source: Owner;
  private readonly session: Session;
  private readonly stream: Stream;

  constructor(source: Owner, session: Session, stream: Stream) {
    this.source = source;
    this.session = session;
    this.stream = stream;
  }

  get isFlushed(): boolean {
    return !this.stream.isWaiting;
  }

  send(_from: BodySource, base: Buffer, start: number, end: number): boolean {
    return this.session.send(this.stream, base, start, end);
  }

  end(): void {
    this.session.end(this.stream);
  }

  hold(): void {
    this.source.hold();
  }

  release(): void {
    this.source.release();
  }
}

interface ClientStream extends TunnelledStream {
  readonly hasEnded: boolean;
  onBug(error: unknown): void;
}

export class StreamClientEnd extends StreamEnd<ClientStream> implements TunnelClient {
  get hasEnded(): boolean {
    return this.source.hasEnded;
  }

  onBug(error: unknown): void {
    this.source.onBug(error);
  }
}

interface UpstreamStream extends TunnelledStream {
  attach(user: UpstreamUser): void;
  setTimer(ms: number): void;
}

export class StreamUpstreamEnd extends StreamEnd<UpstreamStream> implements TunnelUpstream {
  attach(user: UpstreamUser): void {
    this.source.attach(user);
  }

  setTimer(ms: number): void {
    this.source.setTimer(ms);
  }
}

/** The user of a stream whose tunnel has ended in order, until the endpoint has taken its last bytes. */
export class LastBytes implements StreamUser, TimerOwner {
  private readonly session: Session;
  private readonly stream: Stream;
  private readonly wheel: TimerWheel;
  private readonly timer = new TimerEntry(this);

  /** The stream is reset when they are taken, or in `ms`. */
  constructor(session: Session, stream: Stream, wheel: TimerWheel, ms: number) {
    this.session = session;
    this.stream = stream;
    this.wheel = wheel;
    session.leave(stream);
    stream.user = this;
    wheel.schedule(this.timer, ms);
  }

  onHead(): void {}
  onData(): void {}
  onEnd(): void {}

  onDrain(): void {
    this.onTimer();
  }

  onReset(): void {
    this.wheel.remove(this.timer);
  }

  onFault(): void {
    this.wheel.remove(this.timer);
  }

  onTimer(): void {
    this.wheel.remove(this.timer);
    this.session.reset(this.stream, ErrorCode.cancel);
  }
}
