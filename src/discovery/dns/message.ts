// Messages of DNS (RFC 1035, 2782, 3596): a question as bytes, and what an answer says. Pure. A
// message is read strictly: what does not fit into its lengths is refused as a whole.
import { CodedError } from '../../base/coded-error.ts';
import { formatIp } from '../../base/ip-address.ts';
import { BOUNDS, formatBound } from '../../model/bounds.ts';
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
  const { max } = BOUNDS.dnsRecords;
  if (counts.reduce((sum, count) => sum + count) > max) {
    throw bad(`has more than ${formatBound(BOUNDS.dnsRecords)} records`);
  }
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
  /** By where they begin: thousands of records may point to one name of a hundred labels. */
  private readonly names = new Map<number, Name>();

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
    const { text, end } = this.nameAt(this.at, 1, 0);
    this.at = end;
    return text;
  }

  /** `before`: bytes of what stands before it, and pointers that led to it. */
  private nameAt(start: number, before: number, pointers: number): Name {
    const known = this.names.get(start);
    if (known !== undefined) {
      if (before + known.bytes > BOUNDS.dnsName.max) throw bad(TOO_LONG);
      return known;
    }
    const name = this.readName(start, before, pointers);
    this.names.set(start, name);
    return name;
  }

  private readName(start: number, before: number, pointers: number): Name {
    this.at = start;
    const length = this.take(1);
    if (length === 0) return { text: '', bytes: 0, end: this.at };
    if (length > LABEL_BYTES_MAX) {
      if ((length & 0xc0) !== 0xc0) throw bad('has a label of an unknown kind');
      const target = ((length & 0x3f) << 8) | this.take(1);
      const end = this.at;
      // Only back: what leads forward may lead in a circle.
      if (target >= start || pointers >= POINTERS_MAX) throw bad('has a name without an end');
      return { ...this.nameAt(target, before, pointers + 1), end };
    }
    const bytes = length + 1;
    if (before + bytes > BOUNDS.dnsName.max) throw bad(TOO_LONG);
    const from = this.at;
    if (from + length > this.bytes.length) throw bad('ends too early');
    const rest = this.nameAt(from + length, before + bytes, pointers);
    const label = labelText(this.bytes.subarray(from, from + length));
    const text = rest.text === '' ? label : `${label}.${rest.text}`;
    return { text, bytes: bytes + rest.bytes, end: rest.end };
  }
}

/** A name, or the end of one. */
interface Name {
  readonly text: string;
  /** Of its labels with their lengths. */
  readonly bytes: number;
  /** Behind what of it stands in its own place. */
  readonly end: number;
}

const TOO_LONG = 'has a name that is too long';

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
