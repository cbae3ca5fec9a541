// The challenges of ACME that are outstanding, as a worker answers them: by HTTP before anything is
// routed, by TLS before a certificate is chosen. None is answered but for its own name. For a name whose
// certificate we order nothing below the path of challenges is routed: who gets a share of the listener
// from a registry can't order one in its place.
import {
  CHALLENGE_PATH,
  CHALLENGE_PROTOCOL,
  type Challenge,
  type ChallengeTable,
} from '../../model/acme.ts';
import { TICKET_KEY_BYTES } from '../../model/tls.ts';
import type { HelloPeek, ServerTls } from '../network.ts';
import { hostName } from '../router.ts';
import { CLIENT_HELLO_BYTES_MAX, readClientHello } from './client-hello.ts';

/** Connections whose ClientHello is awaited, per worker; further ones get the usual certificate. */
const PEEKING_MAX = 1024;
/** The ClientHello is there already when this TLS is chosen. */
const HELLO_MS = 5000;

export class Challenges {
  /** By token. */
  private readonly http = new Map<string, { readonly domain: string; readonly answer: string }>();
  /** By server name. */
  private readonly tls = new Map<string, ServerTls>();
  private domains: ReadonlySet<string> = new Set();
  private peeking = 0;

  /** These and no others from now on. */
  set({ domains, challenges }: ChallengeTable): void {
    this.domains = new Set(domains);
    this.http.clear();
    this.tls.clear();
    for (const one of challenges) {
      if (one.type === 'http-01') this.http.set(one.token, one);
      else this.tls.set(one.domain, serverTlsOf(one));
    }
  }

  /** Whether certificates are ordered at all: asked for each request. */
  get isKept(): boolean {
    return this.domains.size > 0;
  }

  /** Whether any challenge is answered by HTTP. */
  get hasHttp(): boolean {
    return this.http.size > 0;
  }

  /** Whether any is answered by TLS: asked for each connection. */
  get hasTls(): boolean {
    return this.tls.size > 0;
  }

  /**
   * The answer to a GET of `path` at `host` (with its port): '' where the name is ours and the challenge
   * is not outstanding; null where the request is to be routed.
   */
  answerTo(host: string, path: string): string | null {
    if (!path.startsWith(CHALLENGE_PATH)) return null;
    const name = hostName(host);
    if (!this.domains.has(name)) return null;
    const known = this.http.get(path.slice(CHALLENGE_PATH.length));
    return known?.domain === name ? known.answer : '';
  }

  /** The TLS for a client that offers exactly `acme-tls/1` for this name; null: the usual one. */
  private tlsFor(serverName: string, protocols: readonly string[]): ServerTls | null {
    if (protocols.length !== 1 || protocols[0] !== CHALLENGE_PROTOCOL) return null;
    return this.tls.get(serverName) ?? null;
  }

  /** How connections are looked into while challenges are answered by TLS. */
  peek(timeoutMs: number): HelloPeek {
    return {
      timeoutMs,
      begin: () => {
        if (this.peeking >= PEEKING_MAX) return false;
        this.peeking += 1;
        return true;
      },
      choose: (bytes) => {
        const hello = readClientHello(bytes);
        // What is no ClientHello is TLS's to refuse.
        if (hello.kind === 'hello') return this.tlsFor(hello.serverName, hello.protocols);
        return hello.kind === 'partial' && bytes.length <= CLIENT_HELLO_BYTES_MAX ? 'more' : null;
      },
      done: () => {
        this.peeking -= 1;
      },
    };
  }
}

function serverTlsOf({
  domain,
  chain,
  privateKey,
}: Extract<Challenge, { type: 'tls-alpn-01' }>): ServerTls {
  const certificates = [{ names: [domain], chain, privateKey }];
  // Nobody resumes such a session: it carries nothing.
  const ticketKey = new Uint8Array(TICKET_KEY_BYTES);
  crypto.getRandomValues(ticketKey);
  return {
    material: {
      key: `acme ${domain}`,
      certificates,
      minVersion: '1.2',
      clientAuth: 'off',
      clientCa: '',
      ticketKey,
    },
    protocols: [CHALLENGE_PROTOCOL],
    plainReply: Buffer.alloc(0),
    helloMs: HELLO_MS,
  };
}
