// What TLS a world draws: which listeners terminate it, what they ask of clients, and their certificates.
import type { ListenTls } from '../../../src/model/listener.ts';
import { materialKey, type TlsCertificate, type TlsMaterial } from '../../../src/model/tls.ts';
import { Chance } from '../../kernel/chance.ts';
import { type Certificate, textOf } from '../../tls/certificate.ts';

/** Who issues the certificates of listeners, and those of clients. */
export const SERVER_AUTHORITY = 'servers';
export const CLIENT_AUTHORITY = 'clients';
/** Longer than any world lasts. */
const FOR_EVER_MS = 1e12;
/** How long records of content are that actors send: many make them small, so that the first bytes can be read early. */
export const RECORD_SIZES: readonly number[] = [16_384, 16_384, 4096, 1400];
/** Names of routes are below it. */
const WILDCARD = '*.sim';

/** What one listener does. */
export interface ListenRules {
  readonly clientAuth: ListenTls['clientAuth'];
  /** Another certificate for a name of its own, so that the ClientHello decides. */
  readonly hasSecond: boolean;
}

/** Null: it speaks plainly. */
export function drawListenRules(seed: number, listener: string): ListenRules | null {
  const chance = new Chance(seed, `tls of ${listener}`);
  if (!chance.happens(0.7)) return null;
  const clientAuth = chance.happens(0.3) ? chance.pick(['request', 'require'] as const) : 'off';
  return { clientAuth, hasSecond: chance.happens(0.4) };
}

/** As the configuration says it; the files are names. */
export function listenTlsOf(listener: string, { clientAuth, hasSecond }: ListenRules): ListenTls {
  const pair = (name: string) => ({ kind: 'pair' as const, certFile: name, keyFile: name });
  return {
    certificates: [pair(listener), ...(hasSecond ? [pair(`${listener} second`)] : [])],
    ...{ minVersion: '1.2', clientAuth },
    clientCaFile: clientAuth === 'off' ? '' : CLIENT_AUTHORITY,
  };
}

export const FIRST_NAMES: readonly string[] = ['sim', WILDCARD];
export const SECOND_NAME = 'second.sim';

/** The certificates of all listeners, as workers get them, and what clients may see of them. */
export class Certificates {
  /** By serial: until when clients may be shown it; simulated ms. */
  private readonly shownUntil = new Map<number, number>();
  private materials: TlsMaterial[] = [];
  private serial = 0;
  private readonly rules: ReadonlyMap<string, ListenRules>;

  constructor(rules: ReadonlyMap<string, ListenRules>) {
    this.rules = rules;
    this.issue(0, 0);
  }

  get current(): readonly TlsMaterial[] {
    return this.materials;
  }

  /** Others for all listeners, with other ticket keys at times; the old ones are shown until `untilMs`. */
  issue(untilMs: number, generation: number): void {
    for (const [serial, until] of this.shownUntil)
      if (until === Number.POSITIVE_INFINITY) this.shownUntil.set(serial, untilMs);
    this.materials = [...this.rules].map(([listener, rules]) => {
      const tls = listenTlsOf(listener, rules);
      return {
        key: materialKey(tls),
        certificates: [
          this.make(FIRST_NAMES),
          ...(rules.hasSecond ? [this.make([SECOND_NAME])] : []),
        ],
        ...{ minVersion: tls.minVersion, clientAuth: tls.clientAuth, clientCa: tls.clientCaFile },
        ticketKey: new Uint8Array(48).fill(generation & 0xff),
      };
    });
  }

  private make(names: readonly string[]): TlsCertificate {
    this.serial += 1;
    const { serial } = this;
    this.shownUntil.set(serial, Number.POSITIVE_INFINITY);
    const issuer = SERVER_AUTHORITY;
    const chain = textOf({ names, subject: '', issuer, serial, untilMs: FOR_EVER_MS });
    return { names, chain, privateKey: '' };
  }

  /** Why a client must not be shown this certificate for `name`; ''. */
  wrong({ serial, names, issuer }: Certificate, name: string, nowMs: number): string {
    const until = this.shownUntil.get(serial);
    if (until === undefined || issuer !== SERVER_AUTHORITY) return 'a certificate of nobody';
    if (nowMs > until) return 'a certificate that was replaced';
    const isSecond = names.includes(SECOND_NAME);
    if (isSecond !== (name === SECOND_NAME)) return `the certificate of ${names} for ${name}`;
    return '';
  }
}

/** A client's own; its subject is `CN=alice,O=Sim` in headers. */
export function clientCertificate(name: string, issuer: string): Certificate {
  const serial = name.length * 7919 + name.charCodeAt(name.length - 1);
  return { names: [], subject: `O=Sim\nCN=${name}`, issuer, serial, untilMs: FOR_EVER_MS };
}

export function subjectLine(name: string): string {
  return `CN=${name},O=Sim`;
}
