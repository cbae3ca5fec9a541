// One connection of an HTTP/2 client by prior knowledge: many streams at once, each with its request.
import type { ActorEnd, ActorHandler } from '../../net/actor-end.ts';
import { type RequestEnd, soonestSentMs } from '../book.ts';
import { type H2Client, LARGE_BYTES } from '../h2-client.ts';
import { dialIntroduced, drawIntroduction, type Peer as Source } from '../introductions.ts';
import { type Break, CLIENT_BREAKS } from './breaks.ts';
import { ClientStream } from './client-stream.ts';
import { Code, END_HEADERS, END_STREAM, frame, numbers, Type } from './frames.ts';
import type { Field } from './hpack.ts';
import { drawChange, drawManner } from './manner.ts';
import { Peer, type PeerOwner } from './peer.ts';
import { ENDS_CONNECTION, type StreamScript } from './request-script.ts';

/** After GOAWAY and the last stream the product closes within so long. */
const CLOSES_MS = 20_000;
/** Of `HTTP/1.1`; the first frame is a short one. */
const H = 72;
/** A field that takes long by a narrow link. */
const HUGE_BYTES = 10_000;
/** Of a flood of resets: more than the product bears, however long it had none (docs/http2.md). */
const RESETS = 600;
const FLOOD_OF_RESETS = 'a flood of resets';

export class H2ClientConnection implements PeerOwner {
  readonly client: H2Client;
  peer!: Peer;
  private readonly end: ActorEnd;
  /** Who the product must take it for. */
  private readonly source: Source;
  private readonly open = new Set<ClientStream>();
  private nextId = 1;
  /** Nothing is asked on it any more. */
  private isLast = false;
  private isOver = false;
  private isAsking = false;
  private isWaiting = false;
  private answered = 0;
  private idleSinceMs = 0;
  /** A narrow link may be busy with one head for longer than a head may take: that ends the connection. */
  private isClogged = false;
  /** What the client has broken. */
  private broken: Break | null = null;
  private goawayCode = -1;
  private hasRead = false;
  private isTold = false;

  constructor(client: H2Client) {
    this.client = client;
    const { name, port, address, isIntroduced } = client.plan;
    const { kernel, network } = client.setting;
    const chance = kernel.chance(`introduction ${client.connections} of ${name}`);
    const introduction = drawIntroduction(chance, { address, accepts: isIntroduced, port });
    this.source = introduction.client;
    const handler: ActorHandler = {
      onOpen: () => this.opened(),
      onRefused: (code) => {
        client.secure?.failed(code);
        this.over('lost', `connecting: ${code}`);
      },
      onBytes: (bytes) => this.take(bytes),
      onEnd: () => this.peerEnded(),
      onReset: () => this.over('lost', 'reset'),
      onTruncated: () => {
        if (this.open.size === 0 && this.broken === null) client.secure!.truncated();
      },
    };
    const tls = client.secure?.connection(kernel.chance(`tls ${client.connections} of ${name}`));
    const dialling = { kernel, network, chance, name, port, introduction, tls: tls ?? null };
    this.end = dialIntroduced(dialling, handler);
  }

  private opened(): void {
    const { client, end } = this;
    const { kernel, book, isNarrow } = client.setting;
    const { port, bodyMax, name } = client.plan;
    book.dials.set(port, (book.dials.get(port) ?? 0) + 1);
    const chance = kernel.chance(`h2 of ${name} ${client.connections}`);
    this.peer = new Peer({
      kernel,
      end,
      chance,
      manner: drawManner(chance, bodyMax),
      isServer: false,
      owner: this,
      onWrong: (text) => this.wrong(text),
      isNarrow,
    });
    this.idleSinceMs = kernel.nowMs;
    this.askMore();
    if (chance.happens(0.3)) this.change();
  }

  /** Settings change in mid-stream, and the product is asked for signs of life. */
  private change(): void {
    const { chance, setting } = this.client;
    setting.kernel.after(chance.between(1, 300), () => {
      if (this.isOver || this.end.isClosed || this.broken !== null) return;
      if (chance.happens(0.5)) this.peer.settle(drawChange(chance));
      if (chance.happens(0.5)) this.peer.ping(() => {});
      if (chance.happens(0.6)) this.change();
    });
  }

  // Asking

  private get mayAsk(): boolean {
    const { client, open, peer } = this;
    const depth = Math.min(client.manner.depth, peer.maxStreams);
    return !this.isOver && !this.isLast && client.hasMore && open.size < depth;
  }

  private askMore(): void {
    const { chance, manner, setting } = this.client;
    if (!this.mayAsk) return this.leaveIfDone();
    this.ask();
    if (!this.mayAsk) return;
    if (manner.thinkMs === 0) this.askMore();
    else setting.kernel.after(chance.between(0, manner.thinkMs), () => this.askMore());
  }

  private ask(): void {
    const { client, open } = this;
    const { kernel } = client.setting;
    const asked = client.next(this.idleFromMs(), this.source, this.peer.takesTunnels);
    const { request, script } = asked;
    const id = this.nextId;
    // Ids may be left out (section 5.1.1).
    this.nextId += client.chance.happens(0.05) ? 2 * client.chance.int(1, 50) : 2;
    const one = new ClientStream(this, this.peer.open(id), asked);
    open.add(one);
    if (client.setting.isNarrow && isHuge(script)) this.isClogged = true;
    if (this.isClogged) for (const other of open) other.request.isOrderly = false;
    if (kernel.trace.isOn) {
      const what = script.fault === '' ? '' : `, and ${script.fault}`;
      this.note(`asks ${request.method} ${request.id} on stream ${id}${what}`);
    }
    if (ENDS_CONNECTION.has(script.fault)) {
      this.isLast = true;
      for (const other of open) other.request.isOrderly = false;
      kernel.after(script.faultMs, () => this.misbehave(one));
    }
    one.begin();
  }

  /** What is still open here may have left the product long ago where links are narrow. */
  private idleFromMs(): number {
    const { isNarrow, kernel } = this.client.setting;
    if (this.open.size === 0) return this.idleSinceMs;
    if (!isNarrow) return kernel.nowMs;
    const sent = [...this.open].map(({ request }) => soonestSentMs(request));
    return Math.max(this.idleSinceMs, ...sent);
  }

  private misbehave({ script }: ClientStream): void {
    const { kernel } = this.client.setting;
    if (this.isOver) return;
    if (script.fault === 'closes') return this.quit(() => this.end.close());
    if (script.fault === 'resets') return this.quit(() => this.end.reset());
    const chance = kernel.chance(`break of ${this.client.plan.name} ${this.nextId}`);
    if (chance.happens(0.15)) this.resetFlood();
    else {
      const broken = chance.pick(CLIENT_BREAKS);
      this.broken = broken;
      this.note(`breaks a rule: ${broken.name}`);
      broken.write(this.peer, this.nextId);
    }
    // The client says nothing more.
    this.peer.outgoing.isStopped = true;
    kernel.after(CLOSES_MS, () => {
      if (this.isOver) return;
      if (this.mustEnd) this.wrong(`the product bears ${this.broken!.name}`);
      this.quit(() => this.end.reset());
    });
  }

  /** The product must not bear what was broken. Streams that it answers itself may be reset as one likes. */
  private get mustEnd(): boolean {
    const { plan, setting } = this.client;
    const isReset = this.broken!.name === FLOOD_OF_RESETS;
    // Where resets come slowly, requests are answered before: those are good ones.
    const isBorne = isReset && (plan.bodyMax < LARGE_BYTES || setting.mayRefuse(plan.service));
    return !setting.isNarrow && !isBorne;
  }

  /** CVE-2023-44487. */
  private resetFlood(): void {
    const { client, peer } = this;
    this.broken = { name: FLOOD_OF_RESETS, codes: [Code.calm], isFlood: true, write: () => {} };
    this.note('floods with resets');
    for (let i = 0; i < RESETS; i += 1) {
      const id = this.nextId;
      this.nextId += 2;
      const name = client.openReset(`${id}`, this.source);
      const fields: Field[] = [
        [':method', 'GET'],
        [':scheme', 'http'],
        [':authority', client.plan.host],
        [':path', `/${name}`],
      ];
      const block = peer.encoder.encode(fields);
      peer.open(id).isResetHere = true;
      peer.write(frame(Type.headers, END_HEADERS | END_STREAM, id, block));
      peer.write(frame(Type.reset, 0, id, numbers(Code.cancel)));
    }
  }

  // Reading

  private take(bytes: Buffer): void {
    const { chance, manner, setting } = this.client;
    if (this.isOver) return;
    if (this.isTurnedAway(bytes)) return;
    try {
      this.peer.feed(bytes);
    } catch (error) {
      this.wrong(String(error));
      this.quit(() => this.end.reset());
      return;
    }
    if (manner.isSlowReader && chance.happens(0.5) && !this.isOver) {
      this.end.pause();
      setting.kernel.after(chance.between(0, 60), () => this.end.resume());
    }
  }

  /** Whoever is refused before a byte was read is told so by HTTP/1.1: what it speaks is not known yet. */
  private isTurnedAway(bytes: Buffer): boolean {
    this.isTold ||= !this.hasRead && bytes[0] === H;
    this.hasRead = true;
    return this.isTold;
  }

  onStream(): void {
    throw new Error('a stream that the product opens');
  }

  onGoaway(lastId: number, code: number): void {
    this.note(`is told GOAWAY ${lastId} ${code}`);
    this.isLast = true;
    this.goawayCode = code;
    this.checkGoaway(code);
    for (const one of [...this.open]) if (one.stream.id > lastId) one.unasked('above GOAWAY');
    this.leaveIfDone();
  }

  private checkGoaway(code: number): void {
    const codes = this.broken?.codes ?? [];
    if (code === Code.none || codes.includes(code)) return;
    this.wrong(`GOAWAY ${code}${this.broken === null ? '' : ` for ${this.broken.name}`}`);
  }

  /** A request has come to its end. */
  ended(one: ClientStream, how: RequestEnd): void {
    const { isNarrow, kernel, judge } = this.client.setting;
    const { request } = one;
    this.open.delete(one);
    request.end = how;
    request.endMs = kernel.nowMs;
    this.idleSinceMs = isNarrow ? Math.max(this.idleSinceMs, soonestSentMs(request)) : kernel.nowMs;
    if (how === 'answered' || how === 'own') this.answered += 1;
    if (kernel.trace.isOn)
      this.note(`${request.id} ends: ${how} ${request.status} ${request.reason}`);
    judge(request);
    if (this.isAsking || this.isOver) return;
    this.isAsking = true;
    const { chance, manner } = this.client;
    kernel.after(chance.happens(0.7) ? 0 : chance.between(0, manner.thinkMs), () => {
      this.isAsking = false;
      this.askMore();
    });
  }

  // Ends

  /** Nothing is open, and nothing more is asked. */
  private leaveIfDone(): void {
    const { chance, setting } = this.client;
    const mayGo = this.isLast || !this.client.hasMore;
    if (this.isOver || this.isWaiting || !mayGo || this.open.size > 0 || this.broken !== null)
      return;
    this.isWaiting = true;
    if (this.goawayCode < 0) {
      if (chance.happens(0.5)) return this.quit(() => this.end.close());
      this.peer.goaway(0, Code.none);
    }
    setting.kernel.after(CLOSES_MS, () => {
      if (this.isOver) return;
      if (!setting.isNarrow) this.wrong('the product keeps a connection that has had its GOAWAY');
      this.quit(() => this.end.reset());
    });
  }

  private peerEnded(): void {
    if (this.isOver) return;
    const { plan, setting } = this.client;
    // One that was served may have to go for others at once, and so may one that has not said yet what it speaks;
    // one that is refused is told so.
    const isRefused = this.answered === 0 && this.hasRead;
    const mayEnd = isRefused ? setting.mayBreak : setting.mayCut;
    // A reset may have destroyed the GOAWAY: this was no reset.
    if (this.goawayCode < 0 && !this.isTold && !mayEnd(plan.service))
      this.wrong('the product closes without a GOAWAY');
    this.over('lost', 'ended');
    this.end.close();
  }

  /** The client leaves, whatever is open. */
  private quit(how: () => void): void {
    if (this.isOver) return;
    how();
    this.over('quit', 'leaves');
  }

  private over(how: 'lost' | 'quit', text: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.peer?.stop();
    this.note(`is done with a connection: ${text}`);
    for (const one of [...this.open]) one.lost(how);
    this.client.left(how === 'lost' && this.answered === 0);
  }

  wrong(text: string): void {
    const { name, service } = this.client.plan;
    this.client.setting.book.fault(`client ${name}, ${text}`, service);
  }

  note(text: string): void {
    const { book, kernel } = this.client.setting;
    if (kernel.trace.isOn) book.note(`client ${this.client.plan.name} ${text}`);
  }
}

function isHuge({ fields }: StreamScript): boolean {
  return fields.some(([, value]) => value.length > HUGE_BYTES);
}
