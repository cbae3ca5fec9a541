// A connection to an endpoint that speaks HTTP/2 by prior knowledge: each stream is a request with an
// answer of its own; what the endpoint does to the connection it does to all of them.
import type { Chance } from '../../kernel/chance.ts';
import type { ActorEnd } from '../../net/actor-end.ts';
import type { AnswerFault } from '../book.ts';
import type { EndpointSetting } from '../http-endpoint.ts';
import { SERVER_BREAKS } from './breaks.ts';
import { EndpointStream } from './endpoint-stream.ts';
import { Code, frame, Setting, Type } from './frames.ts';
import { drawChange, drawManner } from './manner.ts';
import { Peer, type PeerOwner, type PeerStream } from './peer.ts';

/** After a broken rule the product closes within so long. */
const CLOSES_MS = 5000;
/** What was sent so long ago has arrived. */
const ARRIVED_MS = 300;
const FRAME_MAX = 16_384;
/** Faults of answers that are whole by themselves. */
const AFTERWARDS: ReadonlySet<AnswerFault> = new Set(['', 'closes-idle', 'resets-idle']);

export class H2EndpointConnection implements PeerOwner {
  readonly setting: EndpointSetting;
  readonly peer: Peer;
  isOver = false;
  private readonly end: ActorEnd;
  private readonly chance: Chance;
  private readonly streams: EndpointStream[] = [];
  /** It takes no new streams. */
  private isLeaving = false;
  private hasBroken = false;
  private round = 0;

  constructor(setting: EndpointSetting, end: ActorEnd, count: number) {
    this.setting = setting;
    this.end = end;
    const { kernel, name, isNarrow, habits } = setting;
    const chance = kernel.chance(`h2 at ${name} ${count}`);
    this.chance = chance;
    end.handler = {
      onBytes: (bytes) => this.take(bytes),
      onEnd: () => this.ended(),
      onReset: () => {
        this.isOver = true;
        this.peer.stop();
      },
    };
    const manner = drawManner(chance, habits.bodyMax);
    const { h2 } = habits;
    const own = [
      ...(h2.streamsMax > 0 ? [[Setting.streams, h2.streamsMax] as const] : []),
      ...(h2.takesTunnels ? [[Setting.tunnels, 1] as const] : []),
    ];
    this.peer = new Peer({
      ...{ kernel, end, chance, isServer: true, owner: this, isNarrow },
      manner: { ...manner, settings: [...manner.settings, ...own] },
      onWrong: (text) => this.wrong(text),
    });
    if (h2.ageMs > 0) kernel.after(chance.between(1, h2.ageMs), () => this.leaveInOrder());
    if (chance.happens(0.3)) this.change();
  }

  /** Settings change while streams are open. */
  private change(): void {
    const { chance } = this;
    const { kernel, habits } = this.setting;
    kernel.after(chance.between(1, 300), () => {
      if (this.isOver || this.end.isClosed || this.hasBroken) return;
      const { streamsMax } = habits.h2;
      const streams = chance.int(1, streamsMax);
      const more = streamsMax > 0 ? [[Setting.streams, streams] as const] : [];
      if (chance.happens(0.5)) this.peer.settle([...drawChange(chance), ...more]);
      if (chance.happens(0.5)) this.peer.ping(() => {});
      if (chance.happens(0.6)) this.change();
    });
  }

  private take(bytes: Buffer): void {
    if (this.isOver) return;
    try {
      this.peer.feed(bytes);
    } catch (error) {
      this.wrong(`got what it can't read: ${String(error)}`);
      this.leave(() => this.end.reset());
    }
  }

  onStream(stream: PeerStream): void {
    this.round += 1;
    this.streams.push(new EndpointStream(this, stream));
  }

  onGoaway(_lastId: number, code: number): void {
    if (code !== Code.none && !this.hasBroken) throw new Error(`GOAWAY ${code}`);
  }

  private wrong(text: string): void {
    const { book, name, service } = this.setting;
    book.fault(`endpoint ${name} ${text}`, service);
  }

  // Ends

  /** An answer is whole. */
  answered(fault: AnswerFault): void {
    const { kernel, habits } = this.setting;
    const soonMs = this.chance.between(0, 400);
    if (fault === 'closes-idle') kernel.after(soonMs, () => this.whileIdle(() => this.end.end()));
    if (fault === 'resets-idle') kernel.after(soonMs, () => this.whileIdle(() => this.end.reset()));
    const { idleCloseMs } = habits;
    const { round } = this;
    if (this.isLeaving) return this.closeIfDone();
    if (idleCloseMs === 0 || this.peer.openCount > 0) return;
    kernel.after(idleCloseMs, () => {
      if (this.round === round && this.peer.openCount === 0) this.leaveInOrder();
    });
  }

  /** As far as the endpoint knows: a request may be on its way. */
  private whileIdle(how: () => void): void {
    if (this.peer.openCount > 0 || this.isOver) return;
    this.setting.book.note(`endpoint ${this.setting.name} leaves an idle connection`);
    this.harm();
    this.leave(how);
  }

  /** GOAWAY; the streams that there are end first. */
  private leaveInOrder(): void {
    if (this.isOver || this.end.isClosed || this.isLeaving || this.hasBroken) return;
    this.setting.book.note(`endpoint ${this.setting.name} says GOAWAY ${this.peer.lastId}`);
    this.isLeaving = true;
    this.peer.goaway(this.peer.lastId, Code.none);
    this.closeIfDone();
  }

  /** GOAWAY with a last id below this stream's. */
  goawayBelow(stream: PeerStream): void {
    const { peer } = this;
    this.setting.book.note(`endpoint ${this.setting.name} says GOAWAY ${stream.id - 1}`);
    stream.isResetHere = true;
    this.isLeaving = true;
    peer.goaway(Math.max(0, stream.id - 2), Code.none);
    this.closeIfDone();
  }

  /** What was sent last arrives before the end; what is on its way here is read. */
  private closeIfDone(): void {
    if (!this.isLeaving || this.isOver || this.peer.openCount > 0) return;
    this.setting.kernel.after(this.chance.between(0, 20), () => {
      if (!this.isOver && this.peer.openCount === 0) this.leave(() => this.end.end());
    });
  }

  /** Breaks off, in the middle of a frame at times. */
  cut(isReset: boolean, stream: PeerStream, rest: Buffer): void {
    const { chance, peer } = this;
    const most = Math.min(rest.length, FRAME_MAX, stream.send, peer.send);
    if (most > 1 && chance.happens(0.5) && !peer.outgoing.has(stream)) {
      const whole = frame(Type.data, 0, stream.id, rest.subarray(0, most));
      peer.write(whole.subarray(0, chance.int(1, whole.length - 1)));
    }
    this.setting.book.note(`endpoint ${this.setting.name} ${isReset ? 'resets' : 'closes'}`);
    this.harm();
    this.leave(() => (isReset ? this.end.reset() : this.end.end()));
  }

  /** Breaks a rule of the connection. */
  misbehave(): void {
    const { chance, peer, setting } = this;
    const broken = chance.pick(SERVER_BREAKS);
    setting.book.note(`endpoint ${setting.name} breaks a rule: ${broken.name}`);
    this.hasBroken = true;
    peer.outgoing.isStopped = true;
    this.harm();
    broken.write(peer, 2);
    setting.kernel.after(CLOSES_MS, () => {
      if (this.isOver || this.end.isClosed) return;
      if (!setting.isNarrow) this.wrong(`sees the product bear ${broken.name}`);
      this.leave(() => this.end.reset());
    });
  }

  /** What is not answered whole, or has hardly arrived, is harmed by what this endpoint does. */
  private harm(): void {
    const { kernel, isNarrow } = this.setting;
    for (const { attempt } of this.streams) {
      if (attempt === null || attempt.isUnprocessed || !AFTERWARDS.has(attempt.fault)) continue;
      const hasArrived = attempt.doneMs >= 0 && kernel.nowMs - attempt.doneMs > ARRIVED_MS;
      if (!hasArrived || isNarrow) attempt.fault = 'harmed';
    }
  }

  private leave(how: () => void): void {
    if (this.end.isClosed || this.isOver) return;
    this.isOver = true;
    how();
    this.peer.stop();
  }

  /** The product closes: it has nothing open here that it wants. */
  private ended(): void {
    this.isOver = true;
    this.peer.stop();
    this.end.close();
  }
}
