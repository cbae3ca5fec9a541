// Who must not get in where TLS is spoken: clients that speak none, say half of it, break off, show what is
// not to be trusted or spoil a record; and many at once whose handshakes get nowhere. Nothing that they
// send may reach an endpoint, and all are out within the patience of the listener.
import { Chance } from '../../kernel/chance.ts';
import type { ActorEnd, ActorHandler } from '../../net/actor-end.ts';
import { textOf } from '../../tls/certificate.ts';
import { ClientEngine } from '../../tls/client-engine.ts';
import type { ActorTls } from '../../tls/tls-end.ts';
import type { ClientSetting } from '../http-client.ts';
import type { Weights } from '../weights.ts';
import { clientCertificate, type ListenRules } from './rules.ts';

export type StrangerKind =
  | 'plain'
  | 'garbage'
  | 'silent'
  | 'half-hello'
  | 'ends'
  | 'resets'
  | 'stalls'
  | 'flood'
  | 'no-certificate'
  | 'untrusted'
  | 'tampers';

export interface StrangerPlan {
  readonly name: string;
  readonly kind: StrangerKind;
  readonly service: string;
  readonly protocol: string;
  readonly port: number;
  readonly startMs: number;
  /** How many come at once. */
  readonly count: number;
}

const KINDS: readonly StrangerKind[] = [
  ...(['plain', 'garbage', 'silent', 'half-hello', 'ends', 'resets', 'stalls'] as const),
];
/** Longer than any patience of a listener, and the waiting of a flood before it. */
const PATIENCE_MS = 9000;
/** More than two workers begin at a time. */
const FLOOD = 340;
/** ... and more than the lobby of one keeps. */
const DELUGE = 1300;
/** Its turns take longer. */
const DELUGE_PATIENCE_MS = 20_000;
const ADDRESS = '10.9.8.7';

interface StrangerService {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly tls: ListenRules | null;
}

export function drawStrangers(
  seed: number,
  {
    services,
    weights,
    spanMs,
    mayFlood,
  }: {
    services: readonly StrangerService[];
    weights: Weights;
    spanMs: number;
    mayFlood: boolean;
  },
): StrangerPlan[] {
  const chance = new Chance(seed, 'strangers');
  const targets = services.filter(({ tls }) => tls !== null);
  if (targets.length === 0) return [];
  const plan = (name: string, kind: StrangerKind): StrangerPlan => {
    const { name: service, protocol, port, tls } = chance.pick(targets);
    const { clientAuth } = tls!;
    const needs = kind === 'stalls' && clientAuth === 'require';
    const drawn = needs ? chance.pick(['no-certificate', 'untrusted'] as const) : kind;
    const isHttp = protocol === 'http' && clientAuth !== 'require';
    const own = drawn === 'resets' && isHttp && chance.happens(0.5) ? 'tampers' : drawn;
    return {
      name,
      kind: own,
      service,
      protocol,
      port,
      startMs: chance.between(20, spanMs),
      count: 1,
    };
  };
  const list = Array.from({ length: chance.int(0, 8) }, (_, i) =>
    plan(`y${i}`, chance.pick(KINDS)),
  );
  if (!mayFlood || !chance.happens(weights.floods)) return list;
  const isDeluge = new Chance(seed, 'deluge').happens(weights.deluges);
  return [...list, { ...plan('flood', 'flood'), count: isDeluge ? DELUGE : FLOOD }];
}

interface Pouring {
  readonly hello: Buffer;
  /** Says half of it, and then leaves so. */
  readonly quit: (how: () => void) => void;
  readonly leave: () => void;
}

export class Stranger {
  isDone = false;
  private readonly setting: ClientSetting;
  private readonly plan: StrangerPlan;
  private readonly chance: Chance;
  private open = 0;

  constructor(setting: ClientSetting, plan: StrangerPlan) {
    this.setting = setting;
    this.plan = plan;
    this.chance = setting.kernel.chance(`stranger ${plan.name}`);
    setting.kernel.at(plan.startMs, () => this.begin());
  }

  private begin(): void {
    const { plan, setting } = this;
    setting.book.note(`stranger ${plan.name} comes: ${plan.kind}`);
    const { count } = plan;
    this.open = count;
    for (let i = 0; i < count; i += 1) this.connect();
  }

  private connect(): void {
    const { plan, setting, chance } = this;
    const { kernel, network } = setting;
    const { name, port, kind } = plan;
    const from = { address: ADDRESS, port: chance.int(1024, 65_535) };
    const tls = this.drawTls();
    let answer = '';
    let isOut = false;
    const leave = (): void => {
      if (isOut) return;
      isOut = true;
      this.checkAnswer(answer);
      this.left();
    };
    const handler: ActorHandler = {
      onOpen: () => {
        if (tls === null) this.speak(end, leave);
      },
      onRefused: leave,
      onBytes: (bytes) => {
        if (tls !== null) this.wrong(`is sent ${bytes.length} bytes`);
        answer += bytes.toString('latin1');
      },
      onEnd: () => {
        end.close();
        leave();
      },
      onReset: leave,
    };
    const end = network.dial(name, port, handler, { from, tls });
    const patienceMs = plan.count === DELUGE ? DELUGE_PATIENCE_MS : PATIENCE_MS;
    kernel.after(patienceMs, () => {
      if (isOut) return;
      if (!setting.isNarrow) this.wrong(`is let in, though it is one that ${kind}`);
      end.reset();
      leave();
    });
  }

  private drawTls(): ActorTls | null {
    const { kind } = this.plan;
    if (kind !== 'no-certificate' && kind !== 'untrusted' && kind !== 'tampers') return null;
    const chain = kind === 'untrusted' ? textOf(clientCertificate('mallory', 'nobody')) : '';
    return {
      engine: { ...this.engine, chain },
      onWrong: () => {},
      onSecure: (end) => {
        if (kind !== 'tampers') return;
        end.engine.write(Buffer.from('GET /tampered HTTP/1.1\r\nHost: sim\r\n\r\n'));
        const [record] = end.engine.out.splice(0).slice(-1);
        const spoilt = Buffer.from(record!);
        spoilt[5 + this.chance.int(0, spoilt.length - 6)]! ^= 1;
        end.writeRaw(spoilt);
      },
    };
  }

  private get engine() {
    const random = this.chance.int(0, 2 ** 32 - 1);
    return { isServer: false, random, protocols: [], chain: '', serverName: 'sim' };
  }

  private get hello(): Buffer {
    const engine = new ClientEngine(this.engine);
    engine.start();
    return Buffer.concat(engine.out);
  }

  private speak(end: ActorEnd, leave: () => void): void {
    const { chance } = this;
    const { kernel } = this.setting;
    const { hello } = this;
    const part = hello.subarray(0, chance.int(1, hello.length - 1));
    const quit = (how: () => void): void => {
      end.write(part);
      kernel.after(chance.between(0, 30), () => {
        if (end.isClosed) return;
        how();
      });
    };
    switch (this.plan.kind) {
      case 'plain':
        return void end.write(Buffer.from('GET /in-plain HTTP/1.1\r\nHost: sim\r\n\r\n'));
      case 'garbage':
        return void end.write(Buffer.alloc(chance.int(5, 300), chance.int(0x30, 0xff)));
      case 'silent':
        return;
      case 'half-hello':
        return void end.write(part);
      case 'ends':
        return quit(() => end.end());
      case 'resets':
        return quit(() => {
          end.reset();
          leave();
        });
      case 'flood':
        return this.pour(end, { hello, quit, leave });
      default:
        end.write(hello);
    }
  }

  /** One of many: most say who they are, some bit by bit, half of it or nothing. */
  private pour(end: ActorEnd, { hello, quit, leave }: Pouring): void {
    const { chance } = this;
    const how = chance.next();
    if (how < 0.7) end.write(hello);
    else if (how < 0.85) this.sayInPieces(end, hello);
    else if (how < 0.92) {
      quit(() => {
        if (chance.happens(0.5)) return end.end();
        end.reset();
        leave();
      });
    } else if (how < 0.96) end.write(hello.subarray(0, chance.int(1, hello.length - 1)));
  }

  private sayInPieces(end: ActorEnd, bytes: Buffer): void {
    if (end.isClosed || bytes.length === 0) return;
    const count = this.chance.int(1, bytes.length);
    end.write(bytes.subarray(0, count));
    const { kernel } = this.setting;
    kernel.after(this.chance.between(0, 40), () => this.sayInPieces(end, bytes.subarray(count)));
  }

  /** In plain a request may be told so, and nobody is told anything but alerts and the server's flight. */
  private checkAnswer(answer: string): void {
    const { kind, protocol } = this.plan;
    if (answer === '') return;
    const isRecord = answer[0] === '\x15' || answer[0] === '\x16';
    const isTold = /^HTTP\/1\.1 400 .*\r\nX-Upriver-Reason: plain-http\r\n/.test(answer);
    if (kind === 'plain' && protocol === 'http' && isTold) return;
    if (!isRecord) this.wrong(`gets ${JSON.stringify(answer.slice(0, 60))}`);
  }

  private left(): void {
    this.open -= 1;
    this.isDone = this.open === 0;
  }

  private wrong(text: string): void {
    const { name, service } = this.plan;
    this.setting.book.fault(`stranger ${name} ${text}`, service);
  }
}
