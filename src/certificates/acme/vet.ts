// What is wrong with certificates that are to be ordered, as far as a configuration tells: names that
// lead nowhere, challenges that no listener answers, files that can't be read.
import { messageOf } from '../../base/coded-error.ts';
import type { AcmeSettings } from '../../model/acme.ts';
import type { ListenSpec } from '../../model/listener.ts';
import type { Settings } from '../../model/settings.ts';
import { readAuthorities } from '../files.ts';
import { doMeet } from '../host-names.ts';
import type { CertificateProblem } from '../vet.ts';
import { challengeTypesOf } from './challenge-types.ts';
import { folderProblem, readableProblem } from './folder.ts';
import { caFolderOf } from './place.ts';

const NEEDED = {
  'http-01': 'one that speaks HTTP without TLS, which the CA reaches on port 80',
  'tls-alpn-01': 'one that terminates TLS, which the CA reaches on port 443',
} as const;

/** Every certificate of these settings that is to be ordered, each once. */
export function acmeOf({
  services,
  routers,
  stats,
}: Pick<Settings, 'services' | 'routers' | 'stats'>): AcmeSettings[] {
  const listens = [...services, ...routers].flatMap(({ listen }) => listen);
  const all = [...listens.flatMap(orderedBy), ...orderedBy({ tls: stats.tls })];
  return [...new Map(all.map((acme) => [JSON.stringify(acme), acme])).values()];
}

/** Everything that is wrong with the certificates that `settings` order. Reads their files. */
export async function acmeProblems(settings: Settings): Promise<CertificateProblem[]> {
  const types = challengeTypesOf(settings);
  const each = acmeOf(settings).map(async (acme): Promise<CertificateProblem[]> => {
    const where = `acme ${acme.domains[0]}`;
    const tell = (kind: CertificateProblem['kind']) => (message: string) => {
      return { where, key: '' as const, message, kind };
    };
    return [
      ...unanswered(acme, types).map(tell('unanswered')),
      ...(await unreadable(acme)).map(tell('unanswered')),
      ...unrouted(acme, settings).map(tell('unused')),
    ];
  });
  return (await Promise.all(each)).flat();
}

function orderedBy({ tls }: Pick<ListenSpec, 'tls'>): AcmeSettings[] {
  if (tls === null || tls === 'pass') return [];
  return tls.certificates.flatMap((source) => (source.kind === 'acme' ? [source.acme] : []));
}

function unanswered(
  { challenge }: AcmeSettings,
  types: ReturnType<typeof challengeTypesOf>,
): string[] {
  if (challenge !== 'auto') {
    const isAble = types.includes(challenge);
    return isAble ? [] : [`no listener answers ${challenge}: expected ${NEEDED[challenge]}`];
  }
  if (types.length > 0) return [];
  return [
    `no listener answers a challenge: expected ${NEEDED['http-01']}, or ${NEEDED['tls-alpn-01']}`,
  ];
}

async function unreadable(acme: AcmeSettings): Promise<string[]> {
  const found = [await folderProblem(caFolderOf(acme))];
  const { caFile, binding } = acme;
  if (caFile !== '') {
    try {
      await readAuthorities(caFile);
    } catch (error) {
      found.push(`ca_file: ${messageOf(error)}`);
    }
  }
  if (binding !== null) found.push(await readableProblem(binding.keyFile));
  return found.filter((problem) => problem !== '');
}

/** Names that no route has, of a certificate whose listeners all lead to routes with hosts. */
function unrouted(acme: AcmeSettings, { services, routers }: Settings): string[] {
  const key = JSON.stringify(acme);
  const isUsed = (listen: readonly ListenSpec[]): boolean =>
    listen.some((one) => orderedBy(one).some((other) => JSON.stringify(other) === key));
  if (services.some(({ listen }) => isUsed(listen))) return [];
  const routes = routers.filter(({ listen }) => isUsed(listen)).flatMap((router) => router.routes);
  const hosts = [...new Set(routes.map(({ host }) => host))];
  if (hosts.length === 0 || hosts.includes('')) return [];
  return acme.domains
    .filter((name) => !hosts.some((host) => doMeet(name, host)))
    .map((name) => `${name} is the host of no route: expected one of ${hosts.join(', ')}`);
}
