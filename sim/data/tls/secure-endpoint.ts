// TLS of one endpoint of a world: good, or broken in its own way on each connection. Nothing may come to one
// whose certificate the product has to refuse.
import type { Chance } from '../../kernel/chance.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import type { ActorEnd } from '../../net/actor-end.ts';
import type { MakeEnd } from '../../net/sim-network.ts';
import { readCertificate, textOf } from '../../tls/certificate.ts';
import { Kind, plainRecord } from '../../tls/records.ts';
import type { TlsEnd } from '../../tls/tls-end.ts';
import type { Book } from '../book.ts';
import { HeaderReader, type ProxyRules } from '../introductions.ts';
import {
  CERTIFICATE_FAULTS,
  endpointCertificate,
  type HandshakeFault,
  OWN_AUTHORITY,
  type UpstreamRules,
} from './upstream-rules.ts';

export interface SecureEndpointOptions {
  readonly kernel: Kernel;
  readonly book: Book;
  readonly endpoint: string;
  readonly service: string;
  /** The name that it is asked for. */
  readonly name: string;
  readonly rules: UpstreamRules;
  readonly fault: HandshakeFault | '';
  /** Agreed on by ALPN; empty: it has none. */
  readonly protocols: readonly string[];
  /** A client speaks with it, through the product: it is asked for whatever that likes. */
  readonly isPassed: boolean;
  /** What connections begin with, in plain. */
  readonly sends: ProxyRules['sends'];
}

/** A connection that has come as far as to be spoken on. */
export interface SecureConnection {
  readonly end: ActorEnd;
  readonly header: HeaderReader;
}

export class SecureEndpoint {
  private readonly options: SecureEndpointOptions;
  private generation = 0;

  constructor(options: SecureEndpointOptions) {
    this.options = options;
  }

  /** Forgets its sessions, as when it has started anew. */
  restart(): void {
    this.generation += 1;
  }

  /** Takes a connection; `onSecure` gets it when its handshake is done. */
  accept(chance: Chance, make: MakeEnd, onSecure: (connection: SecureConnection) => void): void {
    const { fault, sends, name, rules, protocols, book, endpoint } = this.options;
    if (fault === 'plain' || fault === 'garbage' || fault === 'silent') {
      return this.speakNone(chance, make(null));
    }
    const header = new HeaderReader(sends);
    const end: ActorEnd = make({
      engine: {
        ...{ isServer: true, protocols, chain: textOf(endpointCertificate(name, fault)) },
        random: chance.int(0, 2 ** 32 - 1),
        ...{ asksPeer: rules.needsOwn, needsPeer: rules.needsOwn },
        ticketKey: chance.happens(0.8) ? `${endpoint} ${this.generation}` : '',
        ticketsFirst: !rules.needsOwn && chance.happens(0.5),
      },
      preface: (bytes) => header.feed(bytes),
      onSecure: (secure) => {
        this.check(secure);
        book.note(
          `endpoint ${endpoint} has a handshake${secure.engine.isResumed ? ', resumed' : ''}`,
        );
        if (CERTIFICATE_FAULTS.has(fault) && rules.verify) this.expectNothing(secure);
        else onSecure({ end: secure, header });
      },
      // Whoever passes it on may cut it; what comes must open all the same.
      onWrong: (text) => this.wrong(text),
    });
    // Whoever has no actor yet is closed as the peer closes.
    const leave = (): void => end.close();
    end.handler = { onBytes: () => this.wrong('got bytes too early'), onEnd: leave, onReset() {} };
    if (fault !== '') this.breakOff(chance, end as TlsEnd);
  }

  /** A certificate that has to be refused: not one byte may come. */
  private expectNothing(end: TlsEnd): void {
    const { fault } = this.options;
    end.handler = {
      onBytes: () => this.wrong(`is sent something, though its certificate is ${fault}`),
      onEnd: () => end.close(),
      onReset() {},
    };
  }

  private check({ engine }: TlsEnd): void {
    const { name, rules, protocols, isPassed } = this.options;
    if (engine.serverName !== name && !isPassed)
      this.wrong(`is asked for ${engine.serverName || 'no name'}`);
    if (engine.protocol !== (protocols[0] ?? '')) this.wrong(`agrees on ${engine.protocol}`);
    const shown = readCertificate(engine.peerChain)?.issuer ?? '';
    if (rules.needsOwn && shown !== OWN_AUTHORITY) this.wrong(`is shown ${shown || 'nothing'}`);
  }

  private speakNone(chance: Chance, end: ActorEnd): void {
    const { fault, kernel } = this.options;
    const answer = fault === 'plain' ? PLAIN : Buffer.alloc(chance.int(1, 400), chance.int(0, 255));
    let isAnswered = fault === 'silent';
    end.handler = {
      onBytes: () => {
        if (isAnswered) return;
        isAnswered = true;
        end.write(answer);
        if (chance.happens(0.5)) kernel.after(chance.between(0, 20), () => end.close());
      },
      onEnd: () => end.close(),
      onReset() {},
    };
  }

  /** Ends it in mid-handshake. */
  private breakOff(chance: Chance, end: TlsEnd): void {
    const { fault, kernel } = this.options;
    if (CERTIFICATE_FAULTS.has(fault)) return;
    // After some of its flight at most; an alert in the middle of a record would be none.
    const keep = fault === 'alert' ? 0 : chance.int(0, 120);
    end.limitFlight(keep, () => {
      kernel.after(chance.between(0, 5), () => {
        if (end.isClosed) return;
        if (fault === 'alert') end.writeRaw(plainRecord(Kind.alert, REFUSAL));
        if (fault === 'resets') end.reset();
        else end.cut();
      });
    });
  }

  private wrong(text: string): void {
    const { book, endpoint, service } = this.options;
    book.fault(`endpoint ${endpoint}, TLS: ${text}`, service);
  }
}

const PLAIN = Buffer.from(
  'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
);
/** handshake_failure. */
const REFUSAL = Buffer.from([2, 40]);
