// Which challenges the listeners of a configuration can answer: HTTP-01 those that speak HTTP, on port
// 80 as the CA asks there; TLS-ALPN-01 those that terminate TLS, on port 443.
import type { ChallengeType } from '../../model/acme.ts';
import type { ListenSpec } from '../../model/listener.ts';
import type { Settings } from '../../model/settings.ts';

const HTTP_PORT = 80;
const HTTPS_PORT = 443;

/** The preferred first. Ports may be mapped to others on the way, so any is better than none. */
export function challengeTypesOf(
  settings: Pick<Settings, 'services' | 'routers'>,
): ChallengeType[] {
  const { services, routers } = settings;
  const https = services.filter(({ protocol }) => protocol === 'http');
  const plain = [...https, ...routers].flatMap(({ listen }) => listen.filter(isPlain));
  const secure = [...services, ...routers].flatMap(({ listen }) => listen.filter(isTerminated));
  const found: [ChallengeType, readonly ListenSpec[], number][] = [
    ['http-01', plain, HTTP_PORT],
    ['tls-alpn-01', secure, HTTPS_PORT],
  ];
  const able = found.filter(([, listens]) => listens.length > 0);
  const usual = able.filter(([, listens, port]) => listens.some((one) => isAt(one, port)));
  return [...new Set([...usual, ...able].map(([type]) => type))];
}

function isPlain({ tls }: ListenSpec): boolean {
  return tls === null;
}

function isTerminated({ tls }: ListenSpec): boolean {
  return tls !== null && tls !== 'pass';
}

function isAt({ address }: ListenSpec, port: number): boolean {
  return address.kind === 'tcp' && address.port === port;
}
