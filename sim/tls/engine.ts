// One side of a fake TLS connection, as OpenSSL is asked for it: bytes go in, and what they come to is
// read one after the other; what is to be sent lies in `out`. It has the flights of TLS 1.3 (RFC 8446
// section 2), its alerts, tickets and KeyUpdate, and those of TLS 1.2 (RFC 5246 section 7.3, RFC 5077); what would be
// cryptography is a number.
import { bothOf, joined, roomFor } from '../kernel/bytes.ts';
import { Fifo } from '../kernel/fifo.ts';
import { systemError } from '../kernel/system-error.ts';
import { type HelloFacts, message, readHello, TLS13, writeHello } from './hello.ts';
import {
  hashOf,
  Kind,
  mix,
  Protection,
  plainRecord,
  putNumber,
  RECORD_MAX,
  RecordReader,
} from './records.ts';

export type TlsEvent =
  | { readonly kind: 'data'; readonly bytes: Buffer }
  /** A server has to `choose`, and says nothing before. */
  | { readonly kind: 'hello'; readonly serverName: string }
  | { readonly kind: 'established' }
  /** Of a client: it may resume by this. */
  | { readonly kind: 'ticket'; readonly ticket: Buffer }
  /** close_notify. */
  | { readonly kind: 'closed' }
  | { readonly kind: 'failed'; readonly error: NodeJS.ErrnoException };

export interface EngineOptions {
  readonly isServer: boolean;
  /** Names the connection: no other has it. */
  readonly random: number;
  /** Offered or taken by ALPN, the preferred first; empty leaves it out. */
  readonly protocols: readonly string[];
  /** The own chain; '' for none. A server may get it by `choose`. */
  readonly chain: string;
  /** Of a client. */
  readonly serverName?: string;
  /** A session that a `ticket` event gave. */
  readonly ticket?: Buffer | null;
  /** It knows nothing above TLS 1.2. */
  readonly isOld?: boolean;
  readonly isLarge?: boolean;
  /** The ClientHello lies in as many records. */
  readonly helloRecords?: number;
  /** Records of content are no longer. */
  readonly recordBytes?: number;
  /** Of a client: the alert that the server's chain deserves; 0: none. Without, all are taken. */
  readonly judge?: (chain: string) => number;
  /** Of a server: who reads its tickets, and what a session is good for; '' gives none. */
  readonly ticketKey?: string;
  /** Its tickets come before its Finished, as those of TLS 1.2. */
  readonly ticketsFirst?: boolean;
  readonly asksPeer?: boolean;
  readonly needsPeer?: boolean;
}

export const Alert = {
  closeNotify: 0,
  unexpected: 10,
  badMac: 20,
  overflow: 22,
  badCertificate: 42,
  unknownCa: 48,
  decode: 50,
  decrypt: 51,
  version: 70,
  internal: 80,
  certificateRequired: 116,
  noProtocol: 120,
} as const;

/** What OpenSSL says of an alert that came. */
const CAME: Readonly<Record<number, string>> = {
  [Alert.unexpected]: 'ERR_SSL_SSL/TLS_ALERT_UNEXPECTED_MESSAGE',
  [Alert.badMac]: 'ERR_SSL_SSL/TLS_ALERT_BAD_RECORD_MAC',
  [Alert.badCertificate]: 'ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE',
  [Alert.unknownCa]: 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
  [Alert.version]: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
  [Alert.certificateRequired]: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
  [Alert.noProtocol]: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
};

const Type = {
  hello: 1,
  serverHello: 2,
  ticket: 4,
  extensions: 8,
  certificate: 11,
  request: 13,
  verify: 15,
  keyExchange: 12,
  done: 14,
  clientKeyExchange: 16,
  finished: 20,
  keyUpdate: 24,
} as const;
const MESSAGE_MAX = 65_536;
const NOTHING: Buffer = Buffer.alloc(0);
const CHANGE = Buffer.from([1]);
const VERSION = Buffer.from([3, 3]);

type State = 'hello' | 'choosing' | 'flight' | 'finished' | 'open' | 'failed';

/** The first byte of what a server says of its extensions; the protocol follows. */
const RESUMED = 'r';
const ANEW = 'n';
/** Between what a ticket says: whose it is, and the client's chain. */
const TICKET_PART = '\n';

/** What a client keeps. */
interface KeptSession {
  readonly ticket: Buffer;
  /** The server's. */
  readonly chain: string;
}

export class TlsEngine {
  /** To be sent, in order. */
  out: Buffer[] = [];
  /** Messages of a flight that go in one record. */
  private flight: Buffer[] = [];
  state: State = 'hello';
  serverName: string;
  /** By ALPN; '' for none. */
  protocol = '';
  isResumed = false;
  /** TLS 1.2 was agreed on. */
  is12 = false;
  /** What the peer has shown; '' for nothing. */
  peerChain = '';
  /** close_notify was sent. */
  hasClosed = false;
  private readonly options: EngineOptions;
  private readonly reader = new RecordReader();
  private readonly events = new Fifo<TlsEvent>();
  private handshake: Buffer = NOTHING;
  private hello: HelloFacts | null = null;
  private transcript = 0;
  private clientRandom: Buffer = NOTHING;
  private sealing: Protection | null = null;
  private opening: Protection | null = null;
  /** Of TLS 1.2: what seals and opens from a change of the cipher on. */
  private keys: { readonly sealing: Protection; readonly opening: Protection } | null = null;
  private chain: string;
  private ticketKey: string;
  private isFirst = true;
  private hasPeerClosed = false;
  private isAsked = false;
  private kept: KeptSession | null = null;

  constructor(options: EngineOptions) {
    this.options = options;
    this.serverName = options.serverName ?? '';
    this.chain = options.chain;
    this.ticketKey = options.ticketKey ?? '';
  }

  /** To a server: by ALPN, the preferred first. */
  get offered(): readonly string[] {
    return this.hello?.protocols ?? [];
  }

  /** A client says hello. */
  start(): void {
    const { protocols, isLarge = false, isOld, helloRecords = 1 } = this.options;
    this.kept = readKept(this.options.ticket ?? null);
    const ticket = this.kept === null ? null : this.kept.ticket;
    this.clientRandom = randomOf(this.options.random);
    const versions = isOld === true ? [] : [TLS13, 0x0303];
    const hello = writeHello({
      ...{ serverName: this.serverName, protocols, ticket, versions, isLarge },
      random: this.clientRandom,
    });
    this.note(hello);
    const size = Math.ceil(hello.length / helloRecords);
    for (let at = 0; at < hello.length; at += size)
      this.out.push(plainRecord(Kind.handshake, hello.subarray(at, at + size)));
  }

  /** What the peer has sent. */
  feed(bytes: Buffer): void {
    this.reader.add(bytes);
  }

  /** What comes next of it; null: more is needed. */
  next(): TlsEvent | null {
    for (;;) {
      const event = this.events.shift();
      if (event !== undefined) return event;
      if (this.state === 'failed' || this.state === 'choosing' || this.hasPeerClosed) return null;
      if (this.isFirst && !this.lookFirst()) return null;
      const record = this.reader.next();
      if (record === null) return null;
      if (record === 'bad') this.fail(Alert.unexpected, 'ERR_SSL_WRONG_VERSION_NUMBER');
      else if (record === 'too-long') this.fail(Alert.overflow, 'ERR_SSL_PACKET_LENGTH_TOO_LONG');
      else this.take(record.kind, record.body);
    }
  }

  /** Whether the first bytes may be TLS; what is none is said as OpenSSL does. */
  private lookFirst(): boolean {
    const { rest } = this.reader;
    if (rest.length < 5) return false;
    this.isFirst = false;
    const text = rest.toString('latin1', 0, 5);
    const isTls = rest[0]! >= Kind.change && rest[0]! <= Kind.data && rest[1] === 3;
    if (isTls) return true;
    const isHttp = this.options.isServer && /^(GET |POST|HEAD|PUT )/.test(text);
    this.fail(Alert.unexpected, `ERR_SSL_${isHttp ? 'HTTP_REQUEST' : 'WRONG_VERSION_NUMBER'}`);
    return true;
  }

  private take(kind: number, body: Buffer): void {
    if (kind === Kind.change) return this.takeChange();
    if (this.opening === null) return this.takeOpen(kind, body);
    if (kind !== Kind.data) return this.fail(Alert.unexpected, 'ERR_SSL_UNEXPECTED_MESSAGE');
    const opened = this.opening.open(body);
    if (opened === null)
      return this.fail(Alert.badMac, 'ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC');
    this.takeOpen(opened.kind, opened.body);
  }

  /** TLS 1.3 has it for those in between alone. */
  private takeChange(): void {
    if (!this.is12) return;
    if (this.keys === null || this.opening !== null)
      return this.fail(Alert.unexpected, 'ERR_SSL_UNEXPECTED_MESSAGE');
    this.opening = this.keys.opening;
  }

  private takeOpen(kind: number, body: Buffer): void {
    if (kind === Kind.alert) return this.takeAlert(body);
    if (kind === Kind.handshake) return this.takeHandshake(body);
    if (kind !== Kind.data || this.state !== 'open')
      return this.fail(Alert.unexpected, 'ERR_SSL_UNEXPECTED_MESSAGE');
    if (body.length > 0) this.events.push({ kind: 'data', bytes: body });
  }

  private takeAlert(body: Buffer): void {
    const what = body[1] ?? Alert.decode;
    if (what === Alert.closeNotify) {
      this.hasPeerClosed = true;
      this.events.push({ kind: 'closed' });
      return;
    }
    this.state = 'failed';
    const code = CAME[what] ?? 'ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR';
    this.events.push({ kind: 'failed', error: systemError(code) });
  }

  private takeHandshake(body: Buffer): void {
    this.handshake = bothOf(this.handshake, body);
    while (this.handshake.length >= 4 && this.state !== 'failed') {
      const length = 4 + lengthAt(this.handshake, 1);
      if (length > MESSAGE_MAX) return this.fail(Alert.decode, 'ERR_SSL_EXCESSIVE_MESSAGE_SIZE');
      if (this.handshake.length < length) return;
      const { handshake } = this;
      const isAll = handshake.length === length;
      const whole = isAll ? handshake : handshake.subarray(0, length);
      this.handshake = isAll ? NOTHING : handshake.subarray(length);
      this.takeMessage(whole[0]!, whole);
    }
  }

  private takeMessage(type: number, whole: Buffer): void {
    const body = whole.subarray(4);
    if (this.state === 'open') return this.takeLate(type, body);
    const before = this.transcript;
    this.note(whole);
    if (this.options.isServer) this.takeOfClient(type, body, before);
    else this.takeOfServer(type, body, before);
  }

  /** After the handshake: tickets, and other keys. */
  private takeLate(type: number, body: Buffer): void {
    if (type === Type.ticket && !this.is12) this.keep(body);
    else if (type === Type.keyUpdate && !this.is12) {
      this.opening!.renew();
      if (body[0] === 1) this.renewKey(false);
    } else this.fail(Alert.unexpected, 'ERR_SSL_UNEXPECTED_MESSAGE');
  }

  /** The keys are others from here on; the peer is asked for the same. */
  renewKey(asks: boolean): void {
    if (this.state !== 'open' || this.hasClosed || this.is12) return;
    this.send(Kind.handshake, message(Type.keyUpdate, Buffer.from([asks ? 1 : 0])));
    this.sealing!.renew();
  }

  // A server

  private takeOfClient(type: number, body: Buffer, before: number): void {
    if (this.state === 'hello' && type === Type.hello) return this.greet(body);
    if (this.state !== 'flight') return this.fail(Alert.unexpected, 'ERR_SSL_UNEXPECTED_MESSAGE');
    if (type === Type.certificate) {
      this.peerChain = body.toString();
      if (this.peerChain === '' && this.options.needsPeer === true)
        this.fail(Alert.certificateRequired, 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE');
    } else if (type === Type.finished) this.finish(body, before);
    else if (type === Type.clientKeyExchange && this.is12) return;
    else if (type !== Type.verify) this.fail(Alert.unexpected, 'ERR_SSL_UNEXPECTED_MESSAGE');
  }

  private greet(body: Buffer): void {
    const hello = readHello(body);
    if (hello === null) return this.fail(Alert.decode, 'ERR_SSL_BAD_PACKET');
    this.is12 = this.options.isOld === true || !hello.versions.includes(TLS13);
    this.hello = hello;
    this.clientRandom = Buffer.from(hello.random);
    this.serverName = hello.serverName;
    this.state = 'choosing';
    this.events.push({ kind: 'hello', serverName: hello.serverName });
  }

  /** A server's chain for the name that was asked for; null: as in the options. */
  choose(chain: string | null, ticketKey: string | null = null): void {
    if (this.state !== 'choosing') return;
    if (chain !== null) this.chain = chain;
    if (ticketKey !== null) this.ticketKey = ticketKey;
    const { protocols: own, asksPeer, random } = this.options;
    const { protocols: offered, ticket } = this.hello!;
    if (own.length > 0 && offered.length > 0) {
      const agreed = own.find((one) => offered.includes(one));
      if (agreed === undefined)
        return this.fail(Alert.noProtocol, 'ERR_SSL_NO_APPLICATION_PROTOCOL');
      this.protocol = agreed;
    }
    this.resume(ticket);
    const serverRandom = randomOf(random);
    if (this.is12) return this.answer12(serverRandom);
    this.say(Type.serverHello, bothOf(VERSION, serverRandom));
    this.out.push(plainRecord(Kind.change, CHANGE));
    this.key(serverRandom);
    this.say(Type.extensions, Buffer.from(`${this.isResumed ? RESUMED : ANEW}${this.protocol}`));
    if (!this.isResumed) {
      if (asksPeer === true) this.say(Type.request, NOTHING);
      this.say(Type.certificate, Buffer.from(this.chain));
      this.say(Type.verify, serverRandom);
    }
    if (this.options.ticketsFirst === true && this.ticketKey !== '') this.giveTicket();
    this.say(Type.finished, this.proof());
    this.sendFlight();
    this.state = 'flight';
  }

  /** The first flight of TLS 1.2, and of a session that is resumed the last one. */
  private answer12(serverRandom: Buffer): void {
    const how = Buffer.from(`${this.isResumed ? RESUMED : ANEW}${this.protocol}`);
    this.note12(Type.serverHello, joined([VERSION, serverRandom, how]));
    this.key(serverRandom);
    this.state = 'flight';
    if (this.isResumed) return this.finish12();
    this.note12(Type.certificate, Buffer.from(this.chain));
    this.note12(Type.keyExchange, serverRandom);
    if (this.options.asksPeer === true) this.note12(Type.request, NOTHING);
    this.note12(Type.done, NOTHING);
    this.sendFlight();
  }

  /** A message of a flight in plain. */
  private note12(type: number, body: Buffer): void {
    const whole = message(type, body);
    this.note(whole);
    this.flight.push(whole);
  }

  /** The cipher changes, and Finished is the first that it seals; a server's ticket goes before. */
  private finish12(): void {
    const { isServer } = this.options;
    if (isServer && this.ticketKey !== '') this.note12(Type.ticket, this.ticket);
    if (this.flight.length > 0) this.sendFlight();
    this.out.push(plainRecord(Kind.change, CHANGE));
    this.sealing = this.keys!.sealing;
    this.say(Type.finished, this.proof());
    this.sendFlight();
  }

  private resume(ticket: Buffer | null): void {
    if (ticket === null || this.ticketKey === '') return;
    const [key, chain, version] = ticket.toString('latin1').split(TICKET_PART);
    if (chain === undefined || key !== this.ticketKey || version !== this.version) return;
    this.isResumed = true;
    this.peerChain = chain;
  }

  // A client

  private takeOfServer(type: number, body: Buffer, before: number): void {
    switch (type) {
      case Type.serverHello:
        if (this.state !== 'hello' || body.length < 34) break;
        this.state = 'flight';
        this.is12 = body.length > 34;
        this.key(body.subarray(2, 34));
        if (this.is12) this.agree(body.subarray(34));
        return;
      case Type.extensions:
        return this.agree(body);
      case Type.keyExchange:
        if (!this.is12) break;
        return;
      case Type.done:
        if (!this.is12) break;
        return this.answerFlight12();
      case Type.request:
        this.isAsked = true;
        return;
      case Type.certificate: {
        this.peerChain = body.toString();
        const alert = this.options.judge?.(this.peerChain) ?? 0;
        if (alert !== 0) this.fail(alert, 'ERR_SSL_CERTIFICATE_VERIFY_FAILED');
        return;
      }
      case Type.verify:
        return;
      case Type.ticket:
        this.keep(body);
        return;
      case Type.finished:
        if (this.state === 'flight') return this.answerFlight(body, before);
    }
    this.fail(Alert.unexpected, 'ERR_SSL_UNEXPECTED_MESSAGE');
  }

  /** What the server has agreed to. */
  private agree(body: Buffer): void {
    this.protocol = body.toString('latin1', 1);
    this.isResumed = body[0] === RESUMED.charCodeAt(0);
    if (this.isResumed) this.peerChain = this.kept?.chain ?? '';
  }

  /** The second flight of TLS 1.2; the server's Finished is yet to come. */
  private answerFlight12(): void {
    if (this.isAsked) this.note12(Type.certificate, Buffer.from(this.chain));
    this.note12(Type.clientKeyExchange, this.clientRandom);
    if (this.isAsked && this.chain !== '') this.note12(Type.verify, this.clientRandom);
    this.finish12();
  }

  /** A client keeps with a ticket who has given it. */
  private keep(ticket: Buffer): void {
    const { length } = ticket;
    const chain = Buffer.from(this.peerChain);
    const kept = roomFor(KEPT_BYTES + length + chain.length);
    putNumber(kept, 0, length);
    kept.set(ticket, KEPT_BYTES);
    kept.set(chain, KEPT_BYTES + length);
    this.events.push({ kind: 'ticket', ticket: kept });
  }

  private answerFlight(body: Buffer, before: number): void {
    if (!body.equals(proofOf(before)))
      return this.fail(Alert.decrypt, 'ERR_SSL_DIGEST_CHECK_FAILED');
    if (this.is12) {
      if (this.isResumed) this.finish12();
      return this.opened();
    }
    this.out.push(plainRecord(Kind.change, CHANGE));
    if (this.isAsked && !this.isResumed) {
      this.say(Type.certificate, Buffer.from(this.chain));
      if (this.chain !== '') this.say(Type.verify, this.clientRandom);
    }
    this.say(Type.finished, this.proof());
    this.sendFlight();
    this.opened();
  }

  // Both

  private finish(body: Buffer, before: number): void {
    if (!body.equals(proofOf(before)))
      return this.fail(Alert.decrypt, 'ERR_SSL_DIGEST_CHECK_FAILED');
    if (this.is12 && !this.isResumed) this.finish12();
    this.opened();
    const isLate = !this.is12 && this.options.ticketsFirst !== true;
    if (isLate && this.ticketKey !== '') this.giveTicket();
  }

  private giveTicket(): void {
    const { ticket } = this;
    if (this.state === 'open') this.send(Kind.handshake, message(Type.ticket, ticket));
    else this.say(Type.ticket, ticket);
  }

  private get ticket(): Buffer {
    const parts = [this.ticketKey, this.peerChain, this.version];
    return Buffer.from(parts.join(TICKET_PART), 'latin1');
  }

  /** As OpenSSL names it. */
  get version(): string {
    return this.is12 ? 'TLSv1.2' : 'TLSv1.3';
  }

  private opened(): void {
    this.state = 'open';
    this.events.push({ kind: 'established' });
  }

  private key(serverRandom: Buffer): void {
    const both = hashOf(serverRandom, hashOf(this.clientRandom));
    const [client, server] = [new Protection(mix(both, 1)), new Protection(mix(both, 2))];
    const { isServer } = this.options;
    const keys = isServer
      ? { sealing: server, opening: client }
      : { sealing: client, opening: server };
    this.keys = keys;
    if (this.is12) return;
    this.sealing = keys.sealing;
    this.opening = keys.opening;
  }

  private note(whole: Buffer): void {
    this.transcript = hashOf(whole, this.transcript);
  }

  private proof(): Buffer {
    return proofOf(this.transcript);
  }

  /** A message of the handshake: what is sealed waits for the end of its flight. */
  private say(type: number, body: Buffer): void {
    const whole = message(type, body);
    this.note(whole);
    if (this.sealing === null) this.send(Kind.handshake, whole);
    else this.flight.push(whole);
  }

  private sendFlight(): void {
    const { flight } = this;
    this.flight = [];
    this.send(Kind.handshake, joined(flight));
  }

  private send(kind: number, body: Buffer): void {
    const most = kind === Kind.data ? (this.options.recordBytes ?? RECORD_MAX) : RECORD_MAX;
    if (body.length <= most) return this.sendRecord(kind, body);
    for (let at = 0; at < body.length; at += most)
      this.sendRecord(kind, body.subarray(at, at + most));
  }

  private sendRecord(kind: number, part: Buffer): void {
    this.out.push(this.sealing?.seal(kind, part) ?? plainRecord(kind, part));
  }

  /** Only once it is established. */
  write(bytes: Buffer): void {
    if (this.state === 'open' && !this.hasClosed && bytes.length > 0) this.send(Kind.data, bytes);
  }

  /** Says close_notify, where there is somebody to say it to. */
  close(): void {
    if (this.hasClosed || this.state !== 'open') return;
    this.send(Kind.alert, Buffer.from([1, Alert.closeNotify]));
    this.hasClosed = true;
  }

  /** Ends it by an alert. */
  fail(alert: number, code: string): void {
    if (this.state === 'failed') return;
    this.send(Kind.alert, Buffer.from([2, alert]));
    this.state = 'failed';
    this.events.push({ kind: 'failed', error: systemError(code) });
  }
}

function randomOf(number: number): Buffer {
  const bytes = roomFor(32);
  for (let i = 0; i < 8; i += 1) putNumber(bytes, 4 * i, mix(number, i + 1));
  return bytes;
}

/** Three bytes. */
function lengthAt(bytes: Buffer, at: number): number {
  return (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
}

function proofOf(transcript: number): Buffer {
  return randomOf(mix(transcript, 0xf1));
}

/** In front of a ticket that is kept: its length. */
const KEPT_BYTES = 4;

/** What a client has kept; null: that is none. */
function readKept(kept: Buffer | null): KeptSession | null {
  if (kept === null || kept.length < KEPT_BYTES) return null;
  const end = KEPT_BYTES + kept.readUInt32BE(0);
  if (end > kept.length) return null;
  return { ticket: kept.subarray(KEPT_BYTES, end), chain: kept.toString('utf8', end) };
}
