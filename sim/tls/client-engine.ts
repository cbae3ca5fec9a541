// The client's side of a fake TLS connection: its ClientHello, what it makes of the server's flights, and the sessions that
// it keeps.
import { roomFor } from '../kernel/bytes.ts';
import { proofOf, randomOf, TlsEngine } from './engine.ts';
import { Alert, RESUMED, Type } from './engine-parts.ts';
import { TLS13, writeHello } from './hello.ts';
import { Kind, plainRecord, putNumber } from './records.ts';

const CHANGE = Buffer.from([1]);

/** What a client keeps. */
interface KeptSession {
  readonly ticket: Buffer;
  /** The server's. */
  readonly chain: string;
}

export class ClientEngine extends TlsEngine {
  private isAsked = false;
  private kept: KeptSession | null = null;

  override start(): void {
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

  protected takeMessageOfPeer(type: number, body: Buffer, before: number): void {
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
    if (this.isAsked) this.note12(Type.certificate, Buffer.from(this.options.chain));
    this.note12(Type.clientKeyExchange, this.clientRandom);
    if (this.isAsked && this.options.chain !== '') this.note12(Type.verify, this.clientRandom);
    this.finish12();
  }

  /** Keeps with a ticket who has given it. */
  protected override keep(ticket: Buffer): void {
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
      this.say(Type.certificate, Buffer.from(this.options.chain));
      if (this.options.chain !== '') this.say(Type.verify, this.clientRandom);
    }
    this.say(Type.finished, this.proof());
    this.sendFlight();
    this.opened();
  }
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
