// One side of a fake TLS connection, as OpenSSL is asked for it: bytes go in, and what they come to is
// read one after the other; what is to be sent lies in `out`. It has the flights of TLS 1.3 (RFC 8446
// section 2), its alerts, tickets and KeyUpdate; what would be cryptography is a number.
import { systemError } from '../kernel/system-error.ts';
import { type HelloFacts, message, readHello, TLS13, writeHello } from './hello.ts';
import { hashOf, Kind, mix, Protection, plainRecord, RECORD_MAX, RecordReader } from './records.ts';

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
  readonly isOld?: boolean;
  readonly isLarge?: boolean;
  /** The ClientHello lies in as many records. */
  readonly helloRecords?: number;
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
  finished: 20,
  keyUpdate: 24,
} as const;
const MESSAGE_MAX = 65_536;
const NOTHING: Buffer = Buffer.alloc(0);
const CHANGE = Buffer.from([1]);

type State = 'hello' | 'choosing' | 'flight' | 'finished' | 'open' | 'failed';

/** What a ticket says. */
interface Session {
  readonly key: string;
  readonly chain: string;
  readonly protocol: string;
}

/** What a client keeps. */
interface KeptSession {
  readonly ticket: string;
  /** The server's. */
  readonly chain: string;
}

export class TlsEngine {
  /** To be sent, in order. */
  out: Buffer[] = [];
  state: State = 'hello';
  serverName: string;
  /** By ALPN; '' for none. */
  protocol = '';
  isResumed = false;
  /** What the peer has shown; '' for nothing. */
  peerChain = '';
  /** close_notify was sent. */
  hasClosed = false;
  private readonly options: EngineOptions;
  private readonly reader = new RecordReader();
  private readonly events: TlsEvent[] = [];
  private handshake: Buffer = NOTHING;
  private hello: HelloFacts | null = null;
  private transcript = 0;
  private clientRandom: Buffer = NOTHING;
  private sealing: Protection | null = null;
  private opening: Protection | null = null;
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

  /** A client says hello. */
  start(): void {
    const { protocols, isLarge = false, isOld, helloRecords = 1 } = this.options;
    this.kept = readJson<KeptSession>(this.options.ticket ?? null);
    const ticket = this.kept === null ? null : Buffer.from(this.kept.ticket);
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
    if (kind === Kind.change) return;
    if (this.opening === null) return this.takeOpen(kind, body);
    if (kind !== Kind.data) return this.fail(Alert.unexpected, 'ERR_SSL_UNEXPECTED_MESSAGE');
    const opened = this.opening.open(body);
    if (opened === null)
      return this.fail(Alert.badMac, 'ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC');
    this.takeOpen(opened.kind, opened.body);
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
    this.handshake = this.handshake.length === 0 ? body : Buffer.concat([this.handshake, body]);
    while (this.handshake.length >= 4 && this.state !== 'failed') {
      const length = 4 + this.handshake.readUIntBE(1, 3);
      if (length > MESSAGE_MAX) return this.fail(Alert.decode, 'ERR_SSL_EXCESSIVE_MESSAGE_SIZE');
      if (this.handshake.length < length) return;
      const whole = this.handshake.subarray(0, length);
      this.handshake = this.handshake.subarray(length);
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
    if (type === Type.ticket) this.keep(body);
    else if (type === Type.keyUpdate) {
      this.opening!.renew();
      if (body[0] === 1) this.renewKey(false);
    } else this.fail(Alert.unexpected, 'ERR_SSL_UNEXPECTED_MESSAGE');
  }

  /** The keys are others from here on; the peer is asked for the same. */
  renewKey(asks: boolean): void {
    if (this.state !== 'open' || this.hasClosed) return;
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
    else if (type !== Type.verify) this.fail(Alert.unexpected, 'ERR_SSL_UNEXPECTED_MESSAGE');
  }

  private greet(body: Buffer): void {
    const hello = readHello(body);
    if (hello === null) return this.fail(Alert.decode, 'ERR_SSL_BAD_PACKET');
    if (!hello.versions.includes(TLS13))
      return this.fail(Alert.version, 'ERR_SSL_UNSUPPORTED_PROTOCOL');
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
    this.say(Type.serverHello, Buffer.concat([Buffer.from([3, 3]), serverRandom]));
    this.out.push(plainRecord(Kind.change, CHANGE));
    this.key(serverRandom);
    const extensions = { protocol: this.protocol, isResumed: this.isResumed };
    this.say(Type.extensions, Buffer.from(JSON.stringify(extensions)));
    if (!this.isResumed) {
      if (asksPeer === true) this.say(Type.request, NOTHING);
      this.say(Type.certificate, Buffer.from(this.chain));
      this.say(Type.verify, serverRandom);
    }
    if (this.options.ticketsFirst === true && this.ticketKey !== '') this.giveTicket();
    this.say(Type.finished, this.proof());
    this.state = 'flight';
  }

  private resume(ticket: Buffer | null): void {
    if (ticket === null || this.ticketKey === '') return;
    const session = readJson<Session>(ticket);
    if (session === null || session.key !== this.ticketKey) return;
    this.isResumed = true;
    this.peerChain = session.chain;
  }

  // A client

  private takeOfServer(type: number, body: Buffer, before: number): void {
    switch (type) {
      case Type.serverHello:
        if (this.state !== 'hello' || body.length !== 34) break;
        this.state = 'flight';
        this.key(body.subarray(2, 34));
        return;
      case Type.extensions: {
        const { protocol, isResumed } = JSON.parse(body.toString());
        this.protocol = protocol;
        this.isResumed = isResumed;
        if (this.isResumed) this.peerChain = this.kept?.chain ?? '';
        return;
      }
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

  /** A client keeps with a ticket who has given it. */
  private keep(ticket: Buffer): void {
    const kept: KeptSession = { ticket: ticket.toString(), chain: this.peerChain };
    this.events.push({ kind: 'ticket', ticket: Buffer.from(JSON.stringify(kept)) });
  }

  private answerFlight(body: Buffer, before: number): void {
    if (!body.equals(proofOf(before)))
      return this.fail(Alert.decrypt, 'ERR_SSL_DIGEST_CHECK_FAILED');
    this.out.push(plainRecord(Kind.change, CHANGE));
    if (this.isAsked && !this.isResumed) {
      this.say(Type.certificate, Buffer.from(this.chain));
      if (this.chain !== '') this.say(Type.verify, this.clientRandom);
    }
    this.say(Type.finished, this.proof());
    this.opened();
  }

  // Both

  private finish(body: Buffer, before: number): void {
    if (!body.equals(proofOf(before)))
      return this.fail(Alert.decrypt, 'ERR_SSL_DIGEST_CHECK_FAILED');
    this.opened();
    if (this.ticketKey !== '' && this.options.ticketsFirst !== true) this.giveTicket();
  }

  private giveTicket(): void {
    const session: Session = {
      key: this.ticketKey,
      chain: this.peerChain,
      protocol: this.protocol,
    };
    const ticket = Buffer.from(JSON.stringify(session));
    if (this.state === 'open') this.send(Kind.handshake, message(Type.ticket, ticket));
    else this.say(Type.ticket, ticket);
  }

  private opened(): void {
    this.state = 'open';
    this.events.push({ kind: 'established' });
  }

  private key(serverRandom: Buffer): void {
    const both = hashOf(serverRandom, hashOf(this.clientRandom));
    const [client, server] = [new Protection(mix(both, 1)), new Protection(mix(both, 2))];
    const { isServer } = this.options;
    this.sealing = isServer ? server : client;
    this.opening = isServer ? client : server;
  }

  private note(whole: Buffer): void {
    this.transcript = hashOf(whole, this.transcript);
  }

  private proof(): Buffer {
    return proofOf(this.transcript);
  }

  /** A message of the handshake. */
  private say(type: number, body: Buffer): void {
    const whole = message(type, body);
    this.note(whole);
    this.send(Kind.handshake, whole);
  }

  private send(kind: number, body: Buffer): void {
    for (let at = 0; at < body.length || at === 0; at += RECORD_MAX) {
      const part = body.subarray(at, at + RECORD_MAX);
      this.out.push(this.sealing?.seal(kind, part) ?? plainRecord(kind, part));
    }
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
  const bytes = Buffer.alloc(32);
  for (let i = 0; i < 8; i += 1) bytes.writeUInt32BE(mix(number, i + 1), 4 * i);
  return bytes;
}

function proofOf(transcript: number): Buffer {
  return randomOf(mix(transcript, 0xf1));
}

function readJson<T>(text: Buffer | null): T | null {
  try {
    return text === null ? null : (JSON.parse(text.toString()) as T);
  } catch {
    return null;
  }
}
