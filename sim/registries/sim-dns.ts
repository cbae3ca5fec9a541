// Simulated DNS servers in front of one zone: SRV records of services. A server may be away, be silent,
// say that it fails, know an older state, or say that there is no such name.
import { CodedError } from '../../src/base/coded-error.ts';
import { TYPES } from '../../src/discovery/dns/message.ts';
import { DnsProvider } from '../../src/discovery/dns/provider.ts';
import type { Asking } from '../../src/discovery/dns/wire.ts';
import type { DnsParts } from '../../src/doors.ts';
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { systemError } from '../kernel/system-error.ts';

export const DNS_SERVERS: readonly string[] = ['10.8.0.1:53', '10.8.0.2:53'];
const TTL_S = 5;
const [SERVFAIL, NXDOMAIN] = [2, 3];

export interface SimRecord {
  readonly host: string;
  readonly address: string;
  readonly port: number;
}

export type DnsTrouble = 'refuses' | 'is silent' | 'fails' | 'is behind' | 'denies once';

export class SimDns {
  /** By the name that is asked for. */
  readonly zone = new Map<string, readonly SimRecord[]>();
  questions = 0;
  /** Addresses don't come with the records that name their hosts, and are asked for. */
  isSparse = false;
  private readonly kernel: Kernel;
  private readonly chance: Chance;
  private readonly troubles = new Map<string, { how: DnsTrouble; untilMs: number }>();
  /** What a server that is behind still says. */
  private readonly old = new Map<string, ReadonlyMap<string, readonly SimRecord[]>>();

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.chance = kernel.chance('dns');
  }

  begin(server: string, how: DnsTrouble, untilMs: number): void {
    this.troubles.set(server, { how, untilMs });
    if (how === 'is behind') this.old.set(server, new Map(this.zone));
  }

  endTroubles(): void {
    this.troubles.clear();
  }

  parts(isDead: () => boolean): DnsParts {
    return {
      DnsProvider,
      openDns: () => {
        const own = new AbortController();
        return {
          newId: () => this.chance.int(0, 65_535),
          ask: (asking) => this.ask(asking, own.signal, isDead),
          close: () => own.abort(),
        };
      },
    };
  }

  private troubleOf(server: string): DnsTrouble | null {
    const trouble = this.troubles.get(server);
    if (trouble === undefined || trouble.untilMs <= this.kernel.nowMs) return null;
    if (trouble.how === 'denies once') this.troubles.delete(server);
    return trouble.how;
  }

  private ask(
    { server, question, timeoutMs }: Asking,
    signal: AbortSignal,
    isDead: () => boolean,
  ): Promise<Buffer> {
    this.questions += 1;
    const address = `${server.address}:${server.port}`;
    return new Promise((resolve, reject) => {
      const settle = (run: () => void): void => {
        signal.removeEventListener('abort', abort);
        if (!isDead()) run();
      };
      const timer = this.kernel.after(this.chance.between(0.2, 4), () => {
        const how = this.troubleOf(address);
        if (how === 'refuses') {
          return settle(() => reject(systemError('ECONNREFUSED', `connect ${address}`)));
        }
        if (how === 'is silent') {
          late = this.kernel.after(timeoutMs, () =>
            settle(() => reject(new CodedError('timeout', `no answer within ${timeoutMs} ms`))),
          );
          return;
        }
        settle(() => resolve(this.answer(address, question, how)));
      });
      let late: { cancel(): void } | null = null;
      const abort = (): void => {
        timer.cancel();
        late?.cancel();
        settle(() => reject(new CodedError('closed', 'closed')));
      };
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  private answer(server: string, question: Buffer, how: DnsTrouble | null): Buffer {
    if (how === 'fails') return message(question, SERVFAIL, [], []);
    if (how === 'denies once') return message(question, NXDOMAIN, [], []);
    const zone = how === 'is behind' ? this.old.get(server)! : this.zone;
    const { name, type } = readQuestion(question);
    if (type === TYPES.A && this.isSparse) return this.addressAnswer(question, name, zone);
    if (type !== TYPES.SRV) return message(question, NXDOMAIN, [], []);
    const records = zone.get(name);
    if (records === undefined || records.length === 0) return message(question, NXDOMAIN, [], []);
    return message(
      question,
      0,
      records.map(({ host, port }) => srvRecord(name, host, port)),
      this.isSparse ? [] : records.map(({ host, address }) => addressRecord(host, address)),
    );
  }

  private addressAnswer(
    question: Buffer,
    name: string,
    zone: ReadonlyMap<string, readonly SimRecord[]>,
  ): Buffer {
    const found = [...zone.values()].flat().find(({ host }) => host === name);
    if (found === undefined) return message(question, NXDOMAIN, [], []);
    return message(question, 0, [addressRecord(found.host, found.address)], []);
  }
}

function readQuestion(bytes: Buffer): { name: string; type: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = bytes[at]!; length > 0; length = bytes[at]!) {
    labels.push(bytes.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), type: bytes.readUInt16BE(at + 1) };
}

/** RFC 1035 section 4.1: a reply to the question, with these records. */
function message(question: Buffer, code: number, answers: Buffer[], more: Buffer[]): Buffer {
  const head = Buffer.from(question);
  head.writeUInt16BE(0x8580 | code, 2);
  head.writeUInt16BE(answers.length, 6);
  head.writeUInt16BE(0, 8);
  head.writeUInt16BE(more.length, 10);
  return Buffer.concat([head, ...answers, ...more]);
}

function nameBytes(name: string): Buffer {
  const labels = name.split('.').flatMap((label) => [Buffer.of(label.length), Buffer.from(label)]);
  return Buffer.concat([...labels, Buffer.of(0)]);
}

function record(name: string, type: number, data: Buffer): Buffer {
  const fields = Buffer.alloc(10);
  fields.writeUInt16BE(type, 0);
  fields.writeUInt16BE(1, 2);
  fields.writeUInt32BE(TTL_S, 4);
  fields.writeUInt16BE(data.length, 8);
  return Buffer.concat([nameBytes(name), fields, data]);
}

function srvRecord(name: string, host: string, port: number): Buffer {
  const fields = Buffer.alloc(6);
  fields.writeUInt16BE(1, 0);
  fields.writeUInt16BE(1, 2);
  fields.writeUInt16BE(port, 4);
  return record(name, TYPES.SRV, Buffer.concat([fields, nameBytes(host)]));
}

function addressRecord(host: string, address: string): Buffer {
  return record(host, TYPES.A, Buffer.from(address.split('.').map(Number)));
}
