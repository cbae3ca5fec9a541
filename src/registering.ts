// The composition root of the registrar: `upriver register`, and `run --register` beside the balancer.
import { lookup } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import { Networks, parseIp } from './base/ip-address.ts';
import type { Logger } from './base/log.ts';
import { nodeDoors } from './doors.ts';
import type { RegisterSettings } from './model/register.ts';
import type { RunningRegistrar } from './registrar/make.ts';

export type { RunningRegistrar } from './registrar/make.ts';

/**
 * Starts a registrar; resolves when the registry could be reached. Rejects where it can't be, or the
 * template of tags is none.
 */
export async function nodeRegistrar(
  settings: RegisterSettings,
  log: Logger,
  signal: AbortSignal,
): Promise<RunningRegistrar> {
  const [{ startRegistrar }, { HttpPools }, docker] = await Promise.all([
    import('./registrar/make.ts'),
    import('./discovery/http-pools.ts'),
    nodeDoors.loadDocker(),
  ]);
  const { clock, random } = nodeDoors;
  const { hostname, hasSocket, open: openEngine } = docker;
  const name = settings.hostname || hostname;
  return startRegistrar(
    settings,
    {
      ...{ clock, random, log, hostname, hasSocket, openEngine },
      openPools: (tls) => new HttpPools(tls),
      hostAddress: () => hostAddressOf(name),
    },
    signal,
  );
}

/**
 * What the host's name stands for, as Registrator asks; where that is loopback, as on Debian, or
 * nothing, the first address of an interface that is not.
 */
async function hostAddressOf(name: string): Promise<string> {
  const loopback = new Networks(['127.0.0.0/8', '::1']);
  const isOwn = (address: string): boolean => {
    const ip = parseIp(address);
    return ip !== null && !loopback.has(ip);
  };
  const found = await lookup(name, { all: true, family: 4 }).catch(() => []);
  const named = found.map(({ address }) => address).find(isOwn);
  if (named !== undefined) return named;
  const all = Object.values(networkInterfaces()).flatMap((list = []) => list);
  const four = all.filter(({ family, internal }) => family === 'IPv4' && !internal);
  return four[0]?.address ?? '127.0.0.1';
}
