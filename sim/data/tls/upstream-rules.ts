// What TLS services speak to their endpoints, and what is wrong with some endpoints.
import type { UpstreamTls } from '../../../src/model/service.ts';
import { type UpstreamMaterial, upstreamKey } from '../../../src/model/tls.ts';
import { Chance } from '../../kernel/chance.ts';
import { type Certificate, textOf } from '../../tls/certificate.ts';
import type { Weights } from '../weights.ts';

/** Who issues the certificates of endpoints. */
export const ENDPOINT_AUTHORITY = 'endpoints';
/** Who issues the product's own, as endpoints see it. */
export const OWN_AUTHORITY = 'own';
const FOR_EVER_MS = 1e12;

export interface UpstreamRules {
  readonly verify: boolean;
  /** One name for all endpoints; otherwise each has its own. */
  readonly isOneName: boolean;
  /** Endpoints want the product's certificate. */
  readonly needsOwn: boolean;
  /** Each connection's ALPN says whether it is HTTP/2 or HTTP/1.1 (`minds.ts`). */
  readonly isAuto: boolean;
}

/** Null: endpoints are spoken to in plain. */
export function drawUpstreamRules(
  seed: number,
  service: string,
  { upstreamTls, auto }: Weights,
): UpstreamRules | null {
  const chance = new Chance(seed, `upstream tls of ${service}`);
  if (!chance.happens(upstreamTls)) return null;
  const verify = chance.happens(0.85);
  const isAuto = new Chance(seed, `auto of ${service}`).happens(auto);
  return { verify, isOneName: chance.happens(0.5), needsOwn: chance.happens(0.3), isAuto };
}

/**
 * What an endpoint does wrong with each connection. `wrong-name`, `untrusted` and `expired`: its certificate; `expires`:
 * it is good at first.
 * `plain` speaks no TLS, `garbage` nothing at all, `silent` says nothing; `cuts` and `resets` break off in the
 * handshake, `alert` refuses it.
 */
export type HandshakeFault =
  | 'wrong-name'
  | 'untrusted'
  | 'expired'
  | 'expires'
  | 'plain'
  | 'garbage'
  | 'silent'
  | 'cuts'
  | 'resets'
  | 'alert';

export const CERTIFICATE_FAULTS: ReadonlySet<HandshakeFault | ''> = new Set<HandshakeFault>([
  'wrong-name',
  'untrusted',
  'expired',
  'expires',
]);

/** When the certificate of an endpoint with the fault `expires` does, simulated ms. */
export const EXPIRES_MS = 2000;

const FAULTS: readonly HandshakeFault[] = [
  ...([
    'wrong-name',
    'wrong-name',
    'wrong-name',
    'wrong-name',
    'untrusted',
    'untrusted',
    'expired',
    'expires',
    'expires',
    'expires',
  ] as const),
  'plain',
  ...(['garbage', 'silent', 'cuts', 'cuts', 'resets', 'resets', 'alert', 'alert'] as const),
];

/** What is wrong with an endpoint from the beginning to the end; ''. `isOrderly`: all else is in order. */
export function drawHandshakeFault(
  seed: number,
  { endpoint, isOrderly, weights }: { endpoint: string; isOrderly: boolean; weights: Weights },
): HandshakeFault | '' {
  const chance = new Chance(seed, `handshakes of ${endpoint}`);
  const share = isOrderly ? weights.badHandshakes : weights.badHandshakesOfFaulty;
  return chance.happens(share) ? chance.pick(FAULTS) : '';
}

/** The name that the product has to ask this endpoint for. */
export function nameOf({ isOneName }: UpstreamRules, service: string, endpoint: string): string {
  return isOneName ? `all.${service}.sim` : `${endpoint}.own.sim`;
}

/** As the configuration says it; the files are names. */
export function upstreamTlsOf(rules: UpstreamRules, service: string): UpstreamTls {
  const { verify, isOneName, needsOwn } = rules;
  const file = needsOwn ? OWN_AUTHORITY : '';
  return {
    ...{ caFile: ENDPOINT_AUTHORITY, certFile: file, keyFile: file, verify },
    serverName: isOneName ? nameOf(rules, service, '') : '',
  };
}

/** The files of these, read: new objects each time, as when they have changed. */
export function upstreamMaterials(services: readonly UpstreamTls[]): UpstreamMaterial[] {
  const byKey = new Map<string, UpstreamMaterial>();
  for (const tls of services) {
    const key = upstreamKey(tls);
    const own = { names: [], subject: 'CN=upriver', issuer: OWN_AUTHORITY, serial: 1 };
    const cert = tls.certFile === '' ? '' : textOf({ ...own, untilMs: FOR_EVER_MS });
    byKey.set(key, { key, ca: ENDPOINT_AUTHORITY, cert, privateKey: '' });
  }
  return [...byKey.values()];
}

/** An endpoint's certificate, with what is wrong with it. */
export function endpointCertificate(name: string, fault: HandshakeFault | ''): Certificate {
  return {
    names: [fault === 'wrong-name' ? `x${name}` : name],
    subject: '',
    issuer: fault === 'untrusted' ? 'nobody' : ENDPOINT_AUTHORITY,
    serial: 1,
    untilMs: fault === 'expired' ? -1 : fault === 'expires' ? EXPIRES_MS : FOR_EVER_MS,
  };
}
