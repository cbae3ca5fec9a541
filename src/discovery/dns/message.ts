// Messages of DNS (RFC 1035, 2782, 3596): a question as bytes, and what an answer says. Pure. A
// message is read strictly: what does not fit into its lengths is refused as a whole.
import { CodedError } from '../../base/coded-error.ts';
import { formatIp } from '../../base/ip-address.ts';
import { BOUNDS } from '../../model/bounds.ts';
import { isDnsName } from '../../model/registries/dns.ts';

export const TYPES = { A: 1, CNAME: 5, SOA: 6, AAAA: 28, SRV: 33 } as const;
export type QuestionType = 'A' | 'AAAA' | 'SRV';

const CLASS_IN = 1;
const HEADER_BYTES = 12;
const LABEL_BYTES_MAX = 63;
/** A label before a pointer has two bytes at least, so no name has more pointers that lead on. */
const POINTERS_MAX = 128;
/** A time to live with the first bit set is 0 (RFC 2181, section 8). */
const TTL_MAX = 0x7fff_ffff;

const FLAG_RESPONSE = 0x8000;
const FLAG_TRUNCATED = 0x0200;
const FLAG_RECURSION_DESIRED = 0x0100;
const OPCODE = 0x7800;

export type DnsData =
  | { readonly kind: 'address'; readonly type: 'A' | 'AAAA'; readonly address: string }
  | { readonly kind: 'alias'; readonly target: string }
  | {
      readonly kind: 'service';
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    }
  /** What is said of names that are not there may be kept for so long, s. */
  | { readonly kind: 'authority'; readonly negativeTtl: number };

export interface DnsRecord {
  /** Lower case, without a dot at its end; '' for the root. */
  readonly name: string;
  /** s. */
  readonly ttl: number;
  readonly data: DnsData;
}

export interface DnsMessage {
  readonly id: number;
  readonly isResponse: boolean;
  readonly isTruncated: boolean;
  /** RCODE: 0 for none, 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED. */
  readonly code: number;
  readonly questions: readonly { readonly name: string; readonly type: number }[];
  /** Records of types that are none of ours are left out. */
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
}

/** The bytes of a question. Throws RangeError for a name that can't be asked. */
export function questionBytes(id: number, name: string, type: QuestionType): Buffer {
  if (!isDnsName(name)) throw new RangeError(`${JSON.stringify(name)} is no name of DNS`);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(FLAG_RECURSION_DESIRED, 2);
  header.writeUInt16BE(1, 4);
  const labels = name
    .split('.')
    .flatMap((label) => [Buffer.from([label.length]), Buffer.from(label, 'latin1')]);
  const tail = Buffer.from([0, 0, TYPES[type], 0, CLASS_IN]);
  return Buffer.concat([header, ...labels, tail]);
}

/** Reads a message. Throws CodedError `bad-message`. */
export function readMessage(bytes: Buffer): DnsMessage {
  const reader = new Reader(bytes);
  const id = reader.take(2);
  const flags = reader.take(2);
  const counts = [reader.take(2), reader.take(2), reader.take(2), reader.take(2)] as const;
  if ((flags & OPCODE) !== 0) throw bad('is about something else than a question');
  const questions = Array.from({ length: counts[0] }, () => reader.question());
  return {
    id,
    isResponse: (flags & FLAG_RESPONSE) !== 0,
    isTruncated: (flags & FLAG_TRUNCATED) !== 0,
    code: flags & 0xf,
    questions,
    answers: reader.records(counts[1]),
    authorities: reader.records(counts[2]),
    additionals: reader.records(counts[3]),
  };
}

/** Each item takes bytes of the message, so the counts that it names are bounded by its length. */
class Reader {
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** An unsigned number of 1, 2 or 4 bytes. */
  take(length: 1 | 2 | 4): number {
    const { at } = this;
    if (at + length > this.bytes.length) throw bad('ends too early');
    this.at = at + length;
    return this.bytes.readUIntBE(at, length);
  }

  question(): { name: string; type: number } {
    const name = this.name();
    const type = this.take(2);
    this.take(2);
    return { name, type };
  }

  records(count: number): DnsRecord[] {
    const records: DnsRecord[] = [];
    for (let i = 0; i < count; i += 1) {
      const name = this.name();
      const type = this.take(2);
      const isOurs = this.take(2) === CLASS_IN;
      const ttl = this.take(4);
      const length = this.take(2);
      const end = this.at + length;
      if (end > this.bytes.length) throw bad('ends too early');
      const data = isOurs ? this.data(type, length) : null;
      if (data === null) this.at = end;
      else {
        if (this.at !== end) throw bad('has a record of a wrong length');
        records.push({ name, ttl: ttl > TTL_MAX ? 0 : ttl, data });
      }
    }
    return records;
  }

  private data(type: number, length: number): DnsData | null {
    switch (type) {
      case TYPES.A:
        return { kind: 'address', type: 'A', address: [...this.raw(length, 4)].join('.') };
      case TYPES.AAAA:
        return { kind: 'address', type: 'AAAA', address: formatIp(this.raw(length, 16)) };
      case TYPES.CNAME:
        return { kind: 'alias', target: this.name() };
      case TYPES.SRV: {
        const [priority, weight, port] = [this.take(2), this.take(2), this.take(2)];
        return { kind: 'service', priority, weight, port, target: this.name() };
      }
      case TYPES.SOA: {
        this.name();
        this.name();
        for (let i = 0; i < 4; i += 1) this.take(4);
        return { kind: 'authority', negativeTtl: this.take(4) };
      }
      default:
        return null;
    }
  }

  private raw(length: number, expected: number): Buffer {
    if (length !== expected) throw bad('has an address of a wrong length');
    const { at } = this;
    this.at = at + length;
    return this.bytes.subarray(at, this.at);
  }

  /** A name, also where it goes on at an earlier place. Bytes that are not plain are escaped. */
  private name(): string {
    const labels: string[] = [];
    let total = 1;
    let pointers = 0;
    let behind: number | null = null;
    for (;;) {
      const start = this.at;
      const length = this.take(1);
      if (length === 0) break;
      if (length > LABEL_BYTES_MAX) {
        if ((length & 0xc0) !== 0xc0) throw bad('has a label of an unknown kind');
        const target = ((length & 0x3f) << 8) | this.take(1);
        pointers += 1;
        // Only back: what leads forward may lead in a circle.
        if (target >= start || pointers > POINTERS_MAX) throw bad('has a name without an end');
        behind ??= this.at;
        this.at = target;
        continue;
      }
      total += length + 1;
      if (total > BOUNDS.dnsName.max) throw bad('has a name that is too long');
      if (this.at + length > this.bytes.length) throw bad('ends too early');
      labels.push(labelText(this.bytes.subarray(this.at, this.at + length)));
      this.at += length;
    }
    if (behind !== null) this.at = behind;
    return labels.join('.');
  }
}

function labelText(bytes: Buffer): string {
  const text = bytes.toString('latin1').toLowerCase();
  if (/^[a-z0-9_-]*$/.test(text)) return text;
  // As in zone files, so that a dot within a label is not taken for one between two.
  return text.replaceAll(
    /[^a-z0-9_-]/g,
    (one) => `\\${String(one.charCodeAt(0)).padStart(3, '0')}`,
  );
}

function bad(why: string): CodedError {
  return new CodedError('bad-message', `the answer ${why}`);
}
