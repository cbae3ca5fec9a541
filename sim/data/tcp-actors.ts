// A TCP client and a TCP endpoint. The client's first line says whose session it is; the endpoint's
// bytes name the connection that they come from.
import { bothOf, NOTHING } from '../kernel/bytes.ts';
import type { Chance } from '../kernel/chance.ts';
import type { ActorEnd } from '../net/actor-end.ts';
import type { Attempt, Request, RequestEnd } from './book.ts';
import type { ClientSetting } from './http-client.ts';
import type { EndpointSetting } from './http-endpoint.ts';
import { dialIntroduced, drawIntroduction, HeaderReader, type Peer } from './introductions.ts';
import { drawSize, marked } from './request-script.ts';
import { drawRest } from './session-rules.ts';
import { Talk } from './talk.ts';
import { PassedClient, type PassRules } from './tls/pass.ts';
import type { ListenRules } from './tls/rules.ts';
import { type SecureClient, type SecureFacts, secureClient } from './tls/secure-client.ts';

export interface TcpClientPlan {
  readonly name: string;
  /** Where it connects from. */
  readonly address: string;
  /** Balancers introduce their clients where it connects to. */
  readonly isIntroduced: boolean;
  readonly port: number;
  readonly service: string;
  readonly startMs: number;
  readonly sessions: number;
  /** Where it connects to speaks TLS; null: it does not. */
  readonly tls: ListenRules | null;
  /** It passes TLS on; null: it does not. */
  readonly passes: PassRules | null;
  readonly faultShare: number;
  readonly bodyMax: number;
  /** Shares of its sessions that say nothing for a while, and that may send as much as there is. */
  readonly rests: number;
  readonly large: number;
}

const ID_BYTES = 16;
const TAG_BYTES = 24;

/** Opens one session after the other. */
export class TcpClient {
  isDone = false;
  private readonly setting: ClientSetting;
  private readonly plan: TcpClientPlan;
  private readonly secure: SecureClient | PassedClient | null;
  private opened = 0;

  constructor(setting: ClientSetting, plan: TcpClientPlan) {
    this.setting = setting;
    this.plan = plan;
    const speaks = { host: 'sim', isHttp2: false, speaks: 'tcp' as const };
    const { passes } = plan;
    this.secure =
      passes === null
        ? secureClient(setting, { ...plan, ...speaks })
        : new PassedClient(setting, plan, passes);
    setting.kernel.at(plan.startMs, () => this.next());
  }

  private next(): void {
    const { kernel } = this.setting;
    if (this.opened === this.plan.sessions) {
      this.isDone = true;
      return;
    }
    const id = `${this.plan.name}-${this.opened}`;
    this.opened += 1;
    const chance = kernel.chance(`session ${id}`);
    const { secure } = this;
    new TcpClientSession(this.setting, this.plan, { id, chance, secure }, () => {
      kernel.after(chance.between(0, 30), () => this.next());
    });
  }
}

interface TcpSessionParts {
  readonly id: string;
  readonly chance: Chance;
  readonly secure: SecureClient | PassedClient | null;
}

class TcpClientSession {
  private readonly setting: ClientSetting;
  private readonly request: Request;
  private readonly end: ActorEnd;
  private readonly done: () => void;
  private talk: Talk | null = null;
  private head: Buffer = NOTHING;
  private attempt: Attempt | null = null;
  private isOver = false;

  constructor(
    setting: ClientSetting,
    plan: TcpClientPlan,
    { id, chance, secure }: TcpSessionParts,
    done: () => void,
  ) {
    const { book, kernel, network } = setting;
    this.setting = setting;
    this.done = done;
    const isOrderly = !chance.happens(plan.faultShare);
    const draws = kernel.chance(`introduction of ${id}`);
    const { address, isIntroduced: accepts, port } = plan;
    const introduction = drawIntroduction(draws, { address, accepts, port });
    const body = marked(drawSize(chance, plan.bodyMax, plan.large), `>${id}.`);
    this.request = makeSession(id, plan, {
      body,
      isOrderly,
      nowMs: kernel.nowMs,
      client: introduction.client,
      secure: secure?.facts ?? null,
    });
    book.open(this.request);
    const handler = {
      onOpen: () => {
        book.dials.set(plan.port, (book.dials.get(plan.port) ?? 0) + 1);
        this.opened(chance, plan.rests);
      },
      onRefused: (code: string) => {
        secure?.failed(code);
        this.over('gone', code);
      },
      onBytes: (bytes: Buffer) => this.take(bytes),
      onEnd: () => {
        if (this.attempt === null && this.head.length > 0)
          this.fault(`session ${id} ends in order within the endpoint's name`);
        this.talk?.onEnd();
      },
      onReset: () => this.over(this.head.length > 0 ? 'cut' : 'gone', 'reset'),
    };
    const dialling = { kernel, network, chance: draws, name: plan.name, port: plan.port };
    const tls = secure?.connection(kernel.chance(`tls of ${id}`)) ?? null;
    this.end = dialIntroduced({ ...dialling, introduction, tls }, handler);
  }

  private opened(chance: Chance, rests: number): void {
    const { kernel, book } = this.setting;
    const { body, id, isOrderly } = this.request;
    book.note(`client opens TCP session ${id}${isOrderly ? '' : ', and will break off'}`);
    this.talk = new Talk({
      kernel,
      end: this.end,
      chance,
      out: bothOf(named(`${id}\n`, ID_BYTES), body),
      expected: () => this.attempt?.body ?? null,
      restMs: drawRest(kernel.chance(`rest in ${id}`), rests),
      onEnded: () => {
        this.request.endedMs = kernel.nowMs;
      },
      mayBeShort: () => this.attempt === null || this.attempt.fault === 'closes',
      onWrong: (text) => this.fault(`session ${this.attempt?.tag}, at the client ${id}: ${text}`),
      onDone: () => {
        this.end.close();
        this.over('answered', 'both have ended');
      },
    });
    this.talk.start();
    if (isOrderly) return;
    kernel.after(chance.between(0, 200), () => {
      if (this.isOver) return;
      if (chance.happens(0.5)) this.end.reset();
      else this.end.close();
      this.over('quit', 'breaks off');
    });
  }

  private take(bytes: Buffer): void {
    if (this.isOver) return;
    if (this.attempt !== null) return this.talk!.onBytes(bytes);
    this.head = bothOf(this.head, bytes);
    if (this.head.length < TAG_BYTES) return;
    const tag = this.head.toString('latin1', 0, TAG_BYTES).split('\n')[0]!;
    const { book } = this.setting;
    this.attempt = book.sessions.get(tag) ?? null;
    if (this.attempt === null)
      this.fault(`session ${this.request.id} gets bytes of nobody: ${tag}`);
    else if (this.head.length > TAG_BYTES) this.talk!.onBytes(this.head.subarray(TAG_BYTES));
  }

  private fault(text: string): void {
    this.setting.book.fault(text, this.request.service);
  }

  private over(end: RequestEnd, why: string): void {
    if (this.isOver) return;
    const { book, judge, kernel } = this.setting;
    this.isOver = true;
    this.request.end = end;
    this.request.endMs = kernel.nowMs;
    this.request.answeredBy = this.attempt?.tag ?? '';
    if (this.attempt !== null && !this.request.attempts.includes(this.attempt)) {
      // The endpoint did not hear whose session it was.
      this.request.attempts.push(this.attempt);
    }
    book.note(`client is done with TCP session ${this.request.id}: ${end}, ${why}`);
    judge(this.request);
    this.done();
  }
}

function named(text: string, length: number): Buffer {
  return Buffer.from(text.padEnd(length, '-'), 'latin1');
}

/** A session as the book has it when it begins. */
export function makeSession(
  id: string,
  plan: { readonly name: string; readonly port: number; readonly service: string },
  {
    body,
    isOrderly,
    nowMs,
    client,
    secure = null,
  }: {
    body: Buffer;
    isOrderly: boolean;
    nowMs: number;
    client: Peer;
    secure?: SecureFacts | null;
  },
): Request {
  return {
    id,
    client: plan.name,
    secure,
    address: client.address,
    sourcePort: client.port,
    port: plan.port,
    service: plan.service,
    idleSinceMs: nowMs,
    method: 'TCP',
    body,
    isUpgrade: false,
    isForbidden: false,
    isBroken: false,
    isOrderly,
    startMs: nowMs,
    wholeMs: nowMs,
    turnMs: 0,
    endedMs: -1,
    attempts: [],
    end: 'open',
    status: 0,
    reason: '',
    answeredBy: '',
    gotBytes: 0,
    endMs: -1,
  };
}

/** One connection of the product's to a TCP endpoint. */
export class TcpEndpointConnection {
  private readonly setting: EndpointSetting;
  private readonly end: ActorEnd;
  private readonly attempt: Attempt;
  private readonly header: HeaderReader;
  private readonly talk: Talk;
  private head: Buffer = NOTHING;
  private isOver = false;

  constructor(setting: EndpointSetting, end: ActorEnd, count: number) {
    const { kernel, book, habits, name } = setting;
    const tag = `${name}#${count}`;
    const chance = kernel.chance(`session ${tag}`);
    const body = marked(drawSize(chance, habits.bodyMax), `<${tag}.`);
    const isFaulty = chance.happens(habits.faultShare);
    const fault = isFaulty
      ? chance.pick(['closes', 'resets', 'closes-idle', 'silent'] as const)
      : '';
    this.setting = setting;
    this.header = setting.secureHeader ?? new HeaderReader(setting.sends);
    this.end = end;
    const nowMs = kernel.nowMs;
    this.attempt = {
      tag,
      endpoint: name,
      request: null,
      atMs: nowMs,
      status: 0,
      body,
      fault,
      hasWhole: false,
      answeredMs: -1,
      doneMs: -1,
    };
    book.see(this.attempt);
    book.note(`endpoint ${name} accepts session ${tag}${fault === '' ? '' : `; fault: ${fault}`}`);
    this.talk = new Talk({
      kernel,
      end,
      chance,
      out: bothOf(named(`${tag}\n`, TAG_BYTES), body),
      expected: () => this.attempt.request?.body ?? null,
      peerEndedMs: () => (setting.isNarrow ? -1 : (this.attempt.request?.endedMs ?? -1)),
      mayBeShort: () => this.attempt.request?.isOrderly === false,
      onWrong: (text) =>
        this.fault(`session ${this.attempt.request?.id}, at the endpoint ${tag}: ${text}`),
      onDone: () => {
        this.attempt.hasWhole = true;
        this.attempt.doneMs = kernel.nowMs;
        end.close();
      },
    });
    end.handler = {
      onBytes: (bytes) => this.takeAll(bytes),
      onEnd: () => this.talk.onEnd(),
      onReset: () => {
        this.isOver = true;
        if (!this.talk.hasPeerEnded) this.attempt.cutMs = kernel.nowMs;
      },
    };
    this.begin(chance, fault);
  }

  private begin(chance: Chance, fault: string): void {
    const { kernel } = this.setting;
    // Closes before it has sent a byte, as a port forwarder does.
    if (fault === 'closes')
      kernel.after(chance.between(0, 100), () => this.leave(() => this.end.end()));
    else if (fault === 'closes-idle')
      kernel.after(chance.between(0, 100), () => this.leave(() => this.end.close()));
    else if (fault === 'resets') {
      this.talk.start();
      kernel.after(chance.between(0, 100), () => this.leave(() => this.end.reset()));
    } else if (fault === 'silent') kernel.after(8000, () => this.leave(() => this.end.reset()));
    else {
      this.attempt.answeredMs = kernel.nowMs;
      this.talk.start();
    }
  }

  private fault(text: string): void {
    this.setting.book.fault(text, this.setting.service);
  }

  private leave(how: () => void): void {
    if (this.isOver || this.end.isClosed) return;
    this.setting.book.note(`endpoint leaves session ${this.attempt.tag}`);
    how();
  }

  /** The header first, where there is one. */
  private takeAll(bytes: Buffer): void {
    try {
      const rest = this.header.feed(bytes);
      if (rest !== null && rest.length > 0) this.take(rest);
    } catch (error) {
      this.fault(`session ${this.attempt.tag} got ${String(error)}`);
    }
  }

  private take(bytes: Buffer): void {
    const { attempt } = this;
    if (attempt.request !== null) return this.talk.onBytes(bytes);
    this.head = bothOf(this.head, bytes);
    if (this.head.length < ID_BYTES) return;
    const id = this.head.toString('latin1', 0, ID_BYTES).split('\n')[0]!;
    const request = this.setting.book.requests.get(id);
    if (request === undefined) return this.fault(`session ${attempt.tag} begins with ${id}`);
    this.header.check(request);
    if (request.service !== this.setting.service)
      this.fault(
        `session ${id} for ${request.service} at ${attempt.tag} of ${this.setting.service}`,
      );
    attempt.request = request;
    request.attempts.push(attempt);
    if (this.head.length > ID_BYTES) this.talk.onBytes(this.head.subarray(ID_BYTES));
  }
}
