// One session with one member, on one connection: it is opened, asked, kept with pings and ended. A
// session is never resumed: it owns no znode, and what it watched is read anew by the next one.
//   connecting -> greeting (connect, auth) -> open -> over
// Answers come in the order of the questions. Silence for two thirds of the session's timeout ends it,
// as in ZooKeeper's own client: the member is dead, frozen or cut off. Whole messages count alone, and a
// question that is not answered for that long ends it as well, whatever else is heard.
import type { Clock, Timer } from '../../base/clock.ts';
import { BOUNDS } from '../../model/bounds.ts';
import { answeredError, ZookeeperError, zookeeperError } from './error.ts';
import { Frames } from './frames.ts';
import { badMessage, type JuteReader } from './jute.ts';
import {
  authFrame,
  closeFrame,
  connectFrame,
  pingFrame,
  type Question,
  questionFrame,
  readConnected,
  readEvent,
  readReply,
  type WatchEvent,
  XIDS,
} from './messages.ts';
import type { Channel, ChannelEvents } from './wire.ts';

/** Questions that are on their way at a time; a member takes 1,000 of all its clients. */
const ASKED_MAX = 100;
const TIMEOUT_MS_MIN = 300;
const XID_MAX = 0x7fff_ffff;
/** Of the timeout: without anything sent there is a ping, without anything heard it is over. */
const PING_SHARE = 1 / 3;
const SILENCE_SHARE = 2 / 3;

export interface SessionOptions {
  readonly clock: Clock;
  /** Asked for; the member may give less. */
  readonly timeoutMs: number;
  /** For the connection and the greeting. */
  readonly greetingMs: number;
  /** `user:password` of the scheme digest; '' for none. */
  readonly digest: string;
  readonly open: (events: ChannelEvents) => Channel;
  /** It may be asked. */
  readonly onOpen: () => void;
  readonly onEvent: (event: WatchEvent) => void;
  /** The member was heard: nothing that it knows is missing. */
  readonly onHeard: () => void;
  /** It is over by a fault; nothing follows. */
  readonly onEnd: (error: ZookeeperError) => void;
}

interface Asked {
  readonly question: Question;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: ZookeeperError) => void;
  xid: number;
}

export interface Answer {
  /** Of the last transaction that the member knew. */
  readonly zxid: number;
  readonly body: JuteReader;
}

export class Session {
  private readonly options: SessionOptions;
  private readonly channel: Channel;
  private readonly frames = new Frames(BOUNDS.zookeeperAnswer);
  private state: 'connecting' | 'greeting' | 'open' | 'over' = 'connecting';
  private isConnected = false;
  private xid = 0;
  /** Sent, in their order. */
  private readonly asked: Asked[] = [];
  private readonly waiting: Asked[] = [];
  private heardMs: number;
  /** Since when the question that was sent longest ago is waited for, where there is one. */
  private answeredMs = 0;
  private timeoutMs: number;
  private timer: Timer;

  constructor(options: SessionOptions) {
    this.options = options;
    const { clock, greetingMs, timeoutMs } = options;
    this.timeoutMs = timeoutMs;
    this.heardMs = clock.nowMs();
    this.timer = clock.setTimer(greetingMs, () => {
      this.fail(new ZookeeperError('timeout', `no session within ${greetingMs} ms`));
    });
    this.channel = options.open({
      onOpen: () => this.greet(),
      onData: (bytes) => this.onData(bytes),
      onEnd: (error) => this.fail(error),
    });
  }

  /** Resolves to the answer. Rejects with ZookeeperError: the answer's own, or why the session is over. */
  ask(question: Question): Promise<Answer> {
    if (this.state === 'over') return Promise.reject(over());
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.waiting.push({ question, resolve, reject, xid: 0 });
    this.send();
    return promise;
  }

  /** Ends it at the member too, so that it forgets what was watched. `onEnd` is not called. */
  close(): void {
    if (this.state === 'over') return;
    const wasOpen = this.state === 'open';
    this.end(over());
    if (!wasOpen) return this.channel.destroy();
    this.channel.write(closeFrame(this.nextXid()));
    this.channel.end();
  }

  private greet(): void {
    const { digest, timeoutMs } = this.options;
    if (this.state !== 'connecting') return;
    this.state = 'greeting';
    this.channel.write(connectFrame(timeoutMs));
    if (digest !== '') this.channel.write(authFrame('digest', digest));
  }

  private onData(bytes: Buffer): void {
    if (this.state === 'over') return;
    let hasHeard = false;
    try {
      for (const frame of this.frames.take(bytes)) {
        hasHeard = true;
        this.takeFrame(frame);
        // What was heard may have ended it.
        if (this.hasEnded) return;
      }
    } catch (error) {
      return this.fail(error);
    }
    if (!hasHeard) return;
    this.heardMs = this.options.clock.nowMs();
    if (this.state === 'open') this.options.onHeard();
  }

  private get hasEnded(): boolean {
    return this.state === 'over';
  }

  private takeFrame(frame: Buffer): void {
    if (!this.isConnected) return this.takeConnected(frame);
    const { xid, zxid, error, body } = readReply(frame);
    switch (xid) {
      case XIDS.event:
        return this.options.onEvent(readEvent(body));
      case XIDS.ping:
        return;
      case XIDS.auth:
        if (error !== 0) throw answeredError(error, 'the authentication');
        if (this.state === 'greeting') this.opened();
        return;
      default:
        return this.settle({ xid, error }, { zxid, body });
    }
  }

  private takeConnected(frame: Buffer): void {
    const { timeoutMs } = readConnected(frame);
    if (timeoutMs === 0) throw new ZookeeperError('refused', 'refused the session');
    this.isConnected = true;
    // A member may end the session earlier, but not have it silent for longer, nor pinged all the time.
    this.timeoutMs = Math.max(TIMEOUT_MS_MIN, Math.min(timeoutMs, this.timeoutMs));
    // What is not let in is told after this.
    if (this.options.digest === '') this.opened();
  }

  private opened(): void {
    this.state = 'open';
    this.timer.cancel();
    this.keepAlive();
    this.options.onOpen();
  }

  private settle({ xid, error }: { xid: number; error: number }, answer: Answer): void {
    const first = this.asked.shift();
    if (first === undefined || first.xid !== xid) throw badMessage('answers no question');
    this.answeredMs = this.options.clock.nowMs();
    if (error === 0) first.resolve(answer);
    else first.reject(answeredError(error, first.question.path));
    this.send();
  }

  private send(): void {
    while (this.state === 'open' && this.asked.length < ASKED_MAX) {
      const next = this.waiting.shift();
      if (next === undefined) return;
      next.xid = this.nextXid();
      if (this.asked.length === 0) this.answeredMs = this.options.clock.nowMs();
      this.asked.push(next);
      this.channel.write(questionFrame(next.xid, next.question));
    }
  }

  private nextXid(): number {
    this.xid = this.xid === XID_MAX ? 1 : this.xid + 1;
    return this.xid;
  }

  private keepAlive(): void {
    const { clock } = this.options;
    this.timer = clock.setTimer(this.timeoutMs * PING_SHARE, () => {
      const silenceMs = this.timeoutMs * SILENCE_SHARE;
      const silentMs = clock.nowMs() - this.heardMs;
      if (silentMs >= silenceMs) {
        const message = `was not heard for ${Math.round(silentMs)} ms`;
        return this.fail(new ZookeeperError('timeout', message));
      }
      const owedMs = this.asked.length === 0 ? 0 : clock.nowMs() - this.answeredMs;
      if (owedMs >= silenceMs) {
        const message = `gave no answer for ${Math.round(owedMs)} ms`;
        return this.fail(new ZookeeperError('timeout', message));
      }
      this.channel.write(pingFrame());
      this.keepAlive();
    });
  }

  private fail(error: unknown): void {
    if (this.state === 'over') return;
    const why = zookeeperError(error);
    this.end(why);
    this.channel.destroy();
    this.options.onEnd(why);
  }

  private end(why: ZookeeperError): void {
    this.state = 'over';
    this.timer.cancel();
    for (const { reject } of [...this.asked.splice(0), ...this.waiting.splice(0)]) reject(why);
  }
}

function over(): ZookeeperError {
  return new ZookeeperError('closed', 'it is not asked any more');
}
