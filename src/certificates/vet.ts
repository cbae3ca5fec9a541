// What is wrong with the certificates of a configuration, before it is in force.
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/coded-error.ts';
import { exposureOf } from '../base/regular-file.ts';
import { Turns } from '../base/turns.ts';
import type { CertificateSource, ListenTls } from '../model/listener.ts';
import type { UpstreamTls } from '../model/service.ts';
import type { Settings } from '../model/settings.ts';
import { acmeProblems } from './acme/vet.ts';
import { type Found, pairsOf, placeOf, readAuthorities, readFiles } from './files.ts';
import { doMeet } from './host-names.ts';
import { untimely } from './pair.ts';
import { upstreamProblem, upstreamTlsOf } from './upstream-store.ts';

export interface CertificateProblem {
  /** The file. */
  readonly where: string;
  readonly key: '';
  readonly message: string;
  /**
   * `broken`: it can't be used; `untimely`: expired, or not valid yet; `unused`: no route needs it;
   * `unanswered`: it is ordered, and the CA will hardly be convinced.
   */
  readonly kind: 'broken' | 'untimely' | 'unused' | 'unanswered';
}

/** Every ListenTls of a configuration, each once. */
export function tlsOf({ services, routers, stats }: Settings): ListenTls[] {
  const found = new Set<ListenTls>();
  for (const { listen } of [...services, ...routers]) {
    for (const { tls } of listen) if (tls !== null && tls !== 'pass') found.add(tls);
  }
  if (stats.tls !== null) found.add(stats.tls);
  return [...found];
}

/** Everything that is wrong with the certificates of these settings now; read in turns of this clock. */
export async function certificateProblems(
  settings: Settings,
  clock: Clock,
): Promise<CertificateProblem[]> {
  const all = tlsOf(settings);
  const turns = new Turns(clock);
  const found = new Map<string, readonly Found[]>();
  for (const source of all.flatMap(({ certificates }) => certificates)) {
    const key = JSON.stringify(source);
    if (!found.has(key)) found.set(key, await look(source, turns));
  }
  const authorities = new Set(all.map(({ clientCaFile }) => clientCaFile));
  const upstream = upstreamTlsOf(settings);
  return [
    ...[...found.values()].flat().flatMap((one) => problemOf(one, clock.wallMs())),
    ...(await Promise.all([...authorities].map(authorityProblem))).flat(),
    ...(await Promise.all(upstream.map(upstreamProblems))).flat(),
    ...unused(settings, found),
    ...(await acmeProblems(settings)),
  ];
}

/** Keys of listeners that every user of this machine may read or change. */
export async function exposedKeys(
  settings: Settings,
): Promise<Pick<CertificateProblem, 'where' | 'message'>[]> {
  const keys = new Set<string>();
  for (const source of tlsOf(settings).flatMap(({ certificates }) => certificates)) {
    // That it can't be read is told elsewhere.
    for (const { keyFile } of await pairsOf(source).catch(() => [])) keys.add(keyFile);
  }
  return [...keys].flatMap((where) => {
    const message = exposureOf(where);
    return message === '' ? [] : [{ where, message: `private key: ${message}` }];
  });
}

async function look(source: CertificateSource, turns: Turns): Promise<Found[]> {
  const where = placeOf(source);
  // What is ordered may be missing, or of no use any more: it is ordered again.
  if (source.kind === 'acme') return [];
  const nothing = (problem: string) => [{ certFile: where, keyFile: where, problem }];
  try {
    const found: Found[] = [];
    for (const pair of await pairsOf(source)) {
      found.push(await readFiles(pair));
      if (turns.isOver) await turns.next();
    }
    return found.length > 0 ? found : nothing('there is no certificate in this folder');
  } catch (error) {
    return nothing(messageOf(error));
  }
}

function problemOf(found: Found, nowMs: number): CertificateProblem[] {
  const tell = (kind: CertificateProblem['kind'], message: string): CertificateProblem[] => [
    { where: found.certFile, key: '', message, kind },
  ];
  if ('problem' in found) {
    const where = found.keyFile === found.certFile ? '' : ` (key: ${found.keyFile})`;
    return tell('broken', `${found.problem}${where}`);
  }
  const why = untimely(found.pair, nowMs);
  return why === '' ? [] : tell('untimely', why);
}

async function authorityProblem(path: string): Promise<CertificateProblem[]> {
  try {
    if (path !== '') await readAuthorities(path);
    return [];
  } catch (error) {
    return [{ where: path, key: '', message: messageOf(error), kind: 'broken' }];
  }
}

async function upstreamProblems(tls: UpstreamTls): Promise<CertificateProblem[]> {
  const message = await upstreamProblem(tls);
  return message === '' ? [] : [{ where: 'upstream.tls', key: '', message, kind: 'broken' }];
}

/** Certificates of routers whose names are those of none of its routes. */
function unused(
  { routers }: Settings,
  found: ReadonlyMap<string, readonly Found[]>,
): CertificateProblem[] {
  return routers.flatMap(({ listen, routes }) => {
    const hosts = routes.map(({ host }) => host);
    if (hosts.includes('')) return [];
    const ours = listen.flatMap(({ tls }) => (tls === null || tls === 'pass' ? [] : [tls]));
    const sources = ours.flatMap(({ certificates }) => certificates);
    const pairs = sources.flatMap((source) => found.get(JSON.stringify(source)) ?? []);
    return pairs.flatMap((one): CertificateProblem[] => {
      if (!('pair' in one)) return [];
      const { names } = one.pair.certificate;
      if (names.some((name) => hosts.some((host) => doMeet(name, host)))) return [];
      const message = `its names (${names.join(', ')}) are those of no route: expected one of ${hosts.join(', ')}`;
      return [{ where: one.certFile, key: '', message, kind: 'unused' }];
    });
  });
}
