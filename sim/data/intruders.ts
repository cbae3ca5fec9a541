// Who must not get in where connections begin with PROXY headers: balancers whose header is malformed, missing,
// late or cut off, and strangers who send one. Nothing that they send may reach an endpoint as a message.
import { Chance } from '../kernel/chance.ts';
import type { ActorEnd } from '../net/actor-end.ts';
import type { Request } from './book.ts';
import type { ClientSetting } from './http-client.ts';
import {
  addressesOf,
  goodHeader,
  headerV2,
  type Peer,
  SIGNATURE,
  writePieces,
} from './introductions.ts';
import { makeSession } from './tcp-actors.ts';

export interface IntruderPlan {
  readonly name: string;
  readonly service: string;
  readonly protocol: string;
  readonly port: number;
  readonly startMs: number;
  readonly kind: 'malformed' | 'missing' | 'late' | 'ends' | 'stranger';
  /** Times tell nothing where links are narrow. */
  readonly isNarrow: boolean;
}

const KINDS = [
  'malformed',
  'malformed',
  'malformed',
  'missing',
  'late',
  'ends',
  'stranger',
] as const;
const HIDDEN: Peer = { address: '10.9.9.9', port: 4711 };
const HERE: Peer = { address: '127.0.0.1', port: 80 };
/** Longer than any patience of a listener. */
const PATIENCE_MS = 6000;

export interface IntruderService {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
}

export function drawIntruders(
  seed: number,
  {
    services,
    spanMs,
    isNarrow,
  }: { services: readonly IntruderService[]; spanMs: number; isNarrow: boolean },
): IntruderPlan[] {
  const chance = new Chance(seed, 'intruders');
  if (services.length === 0) return [];
  return Array.from({ length: chance.int(0, 10) }, (_, i) => {
    const { name: service, port, protocol } = chance.pick(services);
    const startMs = chance.between(20, spanMs);
    return { name: `x${i}`, service, port, protocol, startMs, kind: chance.pick(KINDS), isNarrow };
  });
}

export class Intruder {
  isDone = false;
  private readonly setting: ClientSetting;
  private readonly plan: IntruderPlan;
  private readonly chance: Chance;
  private end: ActorEnd | null = null;
  private answer = '';
  /** The reset may have destroyed the end of the answer. */
  private wasReset = false;
  /** Of a stranger: that is counted. */
  private request: Request | null = null;

  constructor(setting: ClientSetting, plan: IntruderPlan) {
    this.setting = setting;
    this.plan = plan;
    this.chance = setting.kernel.chance(`intruder ${plan.name}`);
    setting.kernel.at(plan.startMs, () => this.begin());
  }

  private begin(): void {
    const { plan, setting, chance } = this;
    const { kernel, network, book } = setting;
    const isStranger = plan.kind === 'stranger';
    const from = { address: isStranger ? '10.9.0.9' : '10.8.0.9', port: chance.int(1024, 65_535) };
    const bytes = this.draw();
    if (isStranger) this.open(from);
    book.note(`intruder ${plan.name} connects: ${plan.kind}`);
    const done = (): void => {
      if (plan.kind === 'ends') this.end!.end();
    };
    const handler = {
      onOpen: () => {
        book.dials.set(plan.port, (book.dials.get(plan.port) ?? 0) + 1);
        writePieces({ kernel, chance, end: this.end!, bytes }, done);
      },
      onRefused: () => this.leave(),
      onBytes: (answer: Buffer) => {
        this.answer += answer.toString('latin1');
      },
      onEnd: () => {
        this.end!.close();
        this.leave();
      },
      onReset: () => {
        this.wasReset = true;
        this.leave();
      },
    };
    this.end = network.dial(plan.name, plan.port, handler, { from });
    kernel.after(PATIENCE_MS, () => this.giveUp());
  }

  private open(client: Peer): void {
    const { setting, plan } = this;
    const facts = { body: Buffer.alloc(0), isOrderly: false, nowMs: setting.kernel.nowMs, client };
    const session = makeSession(plan.name, plan, facts);
    const isHttp = plan.protocol === 'http';
    this.request = isHttp ? { ...session, method: 'GET', isForbidden: true } : session;
    setting.book.open(this.request);
  }

  private draw(): Buffer {
    const { chance, plan } = this;
    const header = goodHeader(chance, HIDDEN, HERE);
    const rest = Buffer.from(`GET /${plan.name} HTTP/1.1\r\nHost: intruder\r\n\r\n`);
    switch (plan.kind) {
      case 'malformed':
        return Buffer.concat([chance.pick(MALFORMED), rest]);
      case 'missing':
        return rest;
      case 'stranger':
        return Buffer.concat([header, rest]);
      default:
        return header.subarray(0, chance.int(1, header.length - 1));
    }
  }

  private giveUp(): void {
    if (this.isDone) return;
    if (!this.plan.isNarrow) this.fault(`is let in, with a header that is ${this.plan.kind}`);
    this.end!.reset();
    this.leave();
  }

  private leave(): void {
    if (this.isDone) return;
    this.isDone = true;
    const { kind, protocol } = this.plan;
    // A stranger's endpoint may have spoken before the header was recognized, and HTTP clients are told.
    const mayHear = kind === 'stranger' && (protocol === 'tcp' || this.isRefused);
    if (this.answer !== '' && !mayHear)
      this.fault(`gets ${JSON.stringify(this.answer.slice(0, 60))}`);
    this.close();
    this.setting.book.note(`intruder ${this.plan.name} is out`);
  }

  private get isRefused(): boolean {
    const { answer, wasReset } = this;
    // An alert goes as far as the system takes it at once, as Node's does: nothing waits for the rest.
    if (answer.startsWith(ALERT) || ALERT.startsWith(answer)) return true;
    return REFUSALS.some((how) => answer.startsWith(how) || (wasReset && how.startsWith(answer)));
  }

  private close(): void {
    const { request, answer } = this;
    if (request === null) return;
    request.endMs = this.setting.kernel.nowMs;
    request.status = Number(/^HTTP\/1\.1 (\d\d\d) /.exec(answer)?.[1] ?? 0);
    request.reason = /X-Upriver-Reason: (\S+)\r\n/.exec(answer)?.[1] ?? '';
    request.end = request.status > 0 ? 'own' : 'gone';
  }

  private fault(text: string): void {
    this.setting.book.fault(`intruder ${this.plan.name} ${text}`, this.plan.service);
  }
}

/** How a refusal by HTTP begins, and a fatal alert of TLS. */
const REFUSALS = ['HTTP/1.1 4', 'HTTP/1.1 5'];
const ALERT = '\x15\x03';

const line = (text: string): Buffer => Buffer.from(`${text}\r\n`, 'latin1');
const addresses = addressesOf(HIDDEN, HERE);
const MALFORMED: readonly Buffer[] = [
  line('PROXY TCP4 10.9.9.9 127.0.0.1 4711'),
  line('PROXY TCP4 10.9.9.9 127.0.0.1 4711 80 1'),
  line('PROXY  TCP4 10.9.9.9 127.0.0.1 4711 80'),
  line('PROXY TCP4 10.9.9.9 127.0.0.1 04711 80'),
  line('PROXY TCP4 10.9.9.9 127.0.0.1 65536 80'),
  line('PROXY TCP4 10.9.9.256 127.0.0.1 4711 80'),
  line('PROXY TCP4 10.09.9.9 127.0.0.1 4711 80'),
  line('PROXY TCP6 10.9.9.9 127.0.0.1 4711 80'),
  line('PROXY TCP4 ::1 ::1 4711 80'),
  line('PROXY UDP4 10.9.9.9 127.0.0.1 4711 80'),
  line('PROXY UNKNOWNS'),
  line('proxy TCP4 10.9.9.9 127.0.0.1 4711 80'),
  Buffer.from('PROXY TCP4 10.9.9.9 127.0.0.1 4711 80\n', 'latin1'),
  line(`PROXY UNKNOWN ${'x'.repeat(100)}`),
  headerV2(0x11, 0x11, addresses),
  headerV2(0x22, 0x11, addresses),
  headerV2(0x21, 0x41, addresses),
  headerV2(0x21, 0x13, addresses),
  headerV2(0x21, 0x21, addresses),
  headerV2(0x21, 0x11, addresses.slice(1)),
  headerV2(0x21, 0x11, [...addresses, Buffer.from([1, 0, 9, 1])]),
  headerV2(0x21, 0x11, [...addresses, Buffer.alloc(4100)]),
  Buffer.concat([SIGNATURE.subarray(0, 11), Buffer.from([13, 0x21, 0x11, 0, 12]), ...addresses]),
];
