// The server's side of a fake TLS connection: it answers a ClientHello by the flights of TLS 1.3 or 1.2, resumes what its
// tickets say, and gives such.
import { bothOf, joined } from '../kernel/bytes.ts';
import { proofOf, randomOf, TlsEngine } from './engine.ts';
import { Alert, ANEW, RESUMED, Type } from './engine-parts.ts';
import { type HelloFacts, message, readHello, TLS13 } from './hello.ts';
import { Kind, plainRecord } from './records.ts';

const NOTHING: Buffer = Buffer.alloc(0);
const CHANGE = Buffer.from([1]);
const VERSION = Buffer.from([3, 3]);
/** Between what a ticket says: whose it is, and the client's chain. */
const TICKET_PART = '\n';

export class ServerEngine extends TlsEngine {
  private hello: HelloFacts | null = null;
  private chain = this.options.chain;
  private ticketKey = this.options.ticketKey ?? '';

  override get offered(): readonly string[] {
    return this.hello?.protocols ?? [];
  }

  protected takeMessageOfPeer(type: number, body: Buffer, before: number): void {
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

  override choose(chain: string | null, ticketKey: string | null = null): void {
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
    if (this.isResumed) return this.changeCipher();
    this.note12(Type.certificate, Buffer.from(this.chain));
    this.note12(Type.keyExchange, serverRandom);
    if (this.options.asksPeer === true) this.note12(Type.request, NOTHING);
    this.note12(Type.done, NOTHING);
    this.sendFlight();
  }

  private resume(ticket: Buffer | null): void {
    if (ticket === null || this.ticketKey === '') return;
    const [key, chain, version] = ticket.toString('latin1').split(TICKET_PART);
    if (chain === undefined || key !== this.ticketKey || version !== this.version) return;
    this.isResumed = true;
    this.peerChain = chain;
  }

  private finish(body: Buffer, before: number): void {
    if (!body.equals(proofOf(before)))
      return this.fail(Alert.decrypt, 'ERR_SSL_DIGEST_CHECK_FAILED');
    if (this.is12 && !this.isResumed) this.changeCipher();
    this.opened();
    const isLate = !this.is12 && this.options.ticketsFirst !== true;
    if (isLate && this.ticketKey !== '') this.giveTicket();
  }

  /** Where it gives tickets, one goes before. */
  private changeCipher(): void {
    if (this.ticketKey !== '') this.note12(Type.ticket, this.ticket);
    this.finish12();
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
}
