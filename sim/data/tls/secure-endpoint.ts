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
import { type Choosing, wrongOffer } from './minds.ts';
import { RECORD_SIZES } from './rules.ts';
import { OLD_SHARE } from './secure-client.ts';
import {
  CERTIFICATE_FAULTS,
  EXPIRES_MS,
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
  /** Each connection has its own of them; null: all have the same. */
  readonly choosing: Choosing | null;
  /** A client speaks with it, through the product: it is asked for whatever that likes. */
  readonly isPassed: boolean;
  /** What connections begin with, in plain. */
  readonly sends: ProxyRules['sends'];
}

/** A connection that was begun before a certificate expired has come after so long. */
const ON_ITS_WAY_MS = 500;

/** A connection that has come as far as to be spoken on. */
export interface SecureConnection {
  readonly end: ActorEnd;
  readonly header: HeaderReader;
  /** HTTP/1.1, where each connection has its own protocol. */
  readonly isHttp1: boolean;
  /** HTTP/1.1 alone was offered: an upgrade has to be the first that comes. */
  readonly onlyUpgrades: boolean;
}

export class SecureEndpoint {
  private readonly options: SecureEndpointOptions;
  private generation = 0;
  private isOld: boolean;
  /** What it shows. */
  private readonly chain: string;

  constructor(options: SecureEndpointOptions) {
    this.options = options;
    this.chain = textOf(endpointCertificate(options.name, options.fault));
    this.isOld = this.drawIsOld();
  }

  private drawIsOld(): boolean {
    const { kernel, endpoint } = this.options;
    const name = `tls version of ${endpoint} ${this.generation}`;
    return kernel.chance(name).happens(OLD_SHARE);
  }

  /** Forgets its sessions, as when it has started anew; it may speak another version now. */
  restart(): void {
    this.generation += 1;
    this.isOld = this.drawIsOld();
  }

  /** Takes a connection; `onSecure` gets it when its handshake is done. */
  accept(chance: Chance, make: MakeEnd, onSecure: (connection: SecureConnection) => void): void {
    const { choosing, fault, sends, rules, book, endpoint } = this.options;
    const protocols = choosing?.next(chance) ?? this.options.protocols;
    if (fault === 'plain' || fault === 'garbage' || fault === 'silent') {
      return this.speakNone(chance, make(null));
    }
    const header = new HeaderReader(sends);
    const isBad = this.isBad;
    const end: ActorEnd = make({
      engine: {
        ...{ isServer: true, protocols, chain: this.chain, isOld: this.isOld },
        random: chance.int(0, 2 ** 32 - 1),
        ...{ asksPeer: rules.needsOwn, needsPeer: rules.needsOwn },
        ticketKey: chance.happens(0.8) ? `${endpoint} ${this.generation}` : '',
        ticketsFirst: !rules.needsOwn && chance.happens(0.5),
        recordBytes: chance.pick(RECORD_SIZES),
      },
      preface: (bytes) => header.feed(bytes),
      onSecure: (secure) => {
        this.check(secure, protocols);
        book.note(
          `endpoint ${endpoint} has a handshake${secure.engine.isResumed ? ', resumed' : ''}`,
        );
        if (isBad && rules.verify) this.expectNothing(secure);
        else {
          const { protocol, offered } = secure.engine;
          const isHttp1 = choosing !== null && protocol !== 'h2';
          const isPlainOffer = sends !== 'off' || offered.includes('h2');
          const onlyUpgrades = choosing !== null && !isPlainOffer;
          onSecure({ end: secure, header, isHttp1, onlyUpgrades });
        }
      },
      // Whoever passes it on may cut it; what comes must open all the same.
      onWrong: (text) => this.wrong(text),
    });
    // Whoever has no actor yet is closed as the peer closes.
    const leave = (): void => end.close();
    end.handler = { onBytes: () => this.wrong('got bytes too early'), onEnd: leave, onReset() {} };
    if (fault !== '') this.breakOff(chance, end as TlsEnd);
  }

  /** What it shows from now on has to be refused, whether a session is resumed or not. */
  private get isBad(): boolean {
    const { fault, kernel } = this.options;
    if (fault === 'expires') return kernel.nowMs > EXPIRES_MS + ON_ITS_WAY_MS;
    return CERTIFICATE_FAULTS.has(fault);
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

  private check({ engine }: TlsEnd, protocols: readonly string[]): void {
    const { choosing, name, rules, isPassed, sends } = this.options;
    if (engine.serverName !== name && !isPassed)
      this.wrong(`is asked for ${engine.serverName || 'no name'}`);
    const { offered, protocol } = engine;
    if (choosing !== null) {
      const wrong = wrongOffer(offered, sends !== 'off');
      if (wrong !== '') this.wrong(wrong);
    } else if (protocol !== (protocols[0] ?? '')) this.wrong(`agrees on ${protocol}`);
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
