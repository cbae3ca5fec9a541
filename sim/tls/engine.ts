// One side of a fake TLS connection, as OpenSSL is asked for it: bytes go in, and what they come to is
// read one after the other; what is to be sent lies in `out`. It has the flights of TLS 1.3 (RFC 8446
// section 2), its alerts, tickets and KeyUpdate, and those of TLS 1.2 (RFC 5246 section 7.3, RFC 5077); what would be
// cryptography is a number. Here is what both sides do; the flights are in client-engine.ts and server-engine.ts.
import { bothOf, joined, roomFor } from '../kernel/bytes.ts';
import { Fifo } from '../kernel/fifo.ts';
import { systemError } from '../kernel/system-error.ts';
import { Alert, CAME, type EngineOptions, type TlsEvent, Type } from './engine-parts.ts';
import { message } from './hello.ts';
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

const MESSAGE_MAX = 65_536;
const NOTHING: Buffer = Buffer.alloc(0);
const CHANGE = Buffer.from([1]);

type State = 'hello' | 'choosing' | 'flight' | 'finished' | 'open' | 'failed';

export abstract class TlsEngine {
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
  protected readonly options: EngineOptions;
  private readonly reader = new RecordReader();
  protected readonly events = new Fifo<TlsEvent>();
  private handshake: Buffer = NOTHING;
  private transcript = 0;
  protected clientRandom: Buffer = NOTHING;
  private sealing: Protection | null = null;
  private opening: Protection | null = null;
  /** Of TLS 1.2: what seals and opens from a change of the cipher on. */
  private keys: { readonly sealing: Protection; readonly opening: Protection } | null = null;
  private isFirst = true;
  private hasPeerClosed = false;

  constructor(options: EngineOptions) {
    this.options = options;
    this.serverName = options.serverName ?? '';
  }

  /** To a server: by ALPN, the preferred first. */
  get offered(): readonly string[] {
    return [];
  }

  /** A client says hello; a server waits for that. */
  start(): void {}

  /** A server's chain for the name that was asked for, and whose tickets it gives; null: as in the options. */
  choose(_chain: string | null, _ticketKey: string | null = null): void {}

  /** A message of the handshake; `before`: the transcript without it. */
  protected abstract takeMessageOfPeer(type: number, body: Buffer, before: number): void;

  /** A ticket has come after the handshake. */
  protected keep(_ticket: Buffer): void {
    this.fail(Alert.unexpected, 'ERR_SSL_UNEXPECTED_MESSAGE');
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
    this.takeMessageOfPeer(type, body, before);
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

  /** As OpenSSL names it. */
  get version(): string {
    return this.is12 ? 'TLSv1.2' : 'TLSv1.3';
  }

  protected opened(): void {
    this.state = 'open';
    this.events.push({ kind: 'established' });
  }

  protected key(serverRandom: Buffer): void {
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

  protected note(whole: Buffer): void {
    this.transcript = hashOf(whole, this.transcript);
  }

  protected proof(): Buffer {
    return proofOf(this.transcript);
  }

  /** A message of the handshake: what is sealed waits for the end of its flight. */
  protected say(type: number, body: Buffer): void {
    const whole = message(type, body);
    this.note(whole);
    if (this.sealing === null) this.send(Kind.handshake, whole);
    else this.flight.push(whole);
  }

  /** A message of a flight in plain. */
  protected note12(type: number, body: Buffer): void {
    const whole = message(type, body);
    this.note(whole);
    this.flight.push(whole);
  }

  /** The cipher changes, and Finished is the first that it seals. */
  protected finish12(): void {
    if (this.flight.length > 0) this.sendFlight();
    this.out.push(plainRecord(Kind.change, CHANGE));
    this.sealing = this.keys!.sealing;
    this.say(Type.finished, this.proof());
    this.sendFlight();
  }

  protected sendFlight(): void {
    const { flight } = this;
    this.flight = [];
    this.send(Kind.handshake, joined(flight));
  }

  protected send(kind: number, body: Buffer): void {
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

/** 32 bytes that follow from a number. */
export function randomOf(number: number): Buffer {
  const bytes = roomFor(32);
  for (let i = 0; i < 8; i += 1) putNumber(bytes, 4 * i, mix(number, i + 1));
  return bytes;
}

/** Three bytes. */
function lengthAt(bytes: Buffer, at: number): number {
  return (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
}

/** What Finished says of all that went before. */
export function proofOf(transcript: number): Buffer {
  return randomOf(mix(transcript, 0xf1));
}
