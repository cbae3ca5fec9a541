// The composition root of the registrar: `upriver register`, and `run --register` beside the balancer.
import { randomUUID } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { hostname, networkInterfaces } from 'node:os';
import { Networks, parseIp } from './base/ip-address.ts';
import type { Logger } from './base/log.ts';
import { nodeDoors } from './doors.ts';
import type { RegisterSettings } from './model/register.ts';
import type { ConsulSettings } from './model/registries/consul.ts';
import type { RunningRegistrar } from './registrar/make.ts';
import type { SelfFacts, SelfRegistration } from './registrar/self-registration.ts';
import { programVersion } from './version.ts';

export type { RunningRegistrar } from './registrar/make.ts';
export type { SelfFacts, SelfRegistration } from './registrar/self-registration.ts';

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
    import('./reach/http-pools.ts'),
    nodeDoors.loadDocker(),
  ]);
  const { clock, random } = nodeDoors;
  const { hostname, hasSocket, open: openEngine } = docker;
  const name = settings.hostname || hostname;
  return startRegistrar(
    settings,
    {
      clock,
      random,
      log,
      hostname,
      hasSocket,
      openEngine,
      openPools: (tls) => new HttpPools(tls),
      hostAddress: () => hostAddressOf(name),
    },
    signal,
  );
}

/** Begins to register this process in Consul; null where that is not wanted. */
export async function nodeSelfRegistration(
  consul: ConsulSettings | undefined,
  facts: () => SelfFacts,
  log: Logger,
): Promise<SelfRegistration | null> {
  const settings = consul?.registerSelf ?? null;
  if (consul === undefined || settings === null) return null;
  const [{ SelfRegistration: Registration }, { ConsulApi }, { HttpPools }, { Secret }] =
    await Promise.all([
      import('./registrar/self-registration.ts'),
      import('./registrar/consul-api.ts'),
      import('./reach/http-pools.ts'),
      import('./reach/secret.ts'),
    ]);
  // Registrations are the agent's own: another agent of the list would have another one.
  const address = consul.addresses[0]!;
  const { clock, random } = nodeDoors;
  const { token: text, tokenFile: file, namespace, tagPrefix } = consul;
  const secret = new Secret({ text, file, key: 'token_file' });
  const pools = new HttpPools(consul.tls);
  const api = new ConsulApi({
    address,
    namespace,
    httpAuth: consul.addressAuth?.[address] ?? consul.httpAuth,
    channel: () => pools.to(address),
    close: () => pools.close(),
    token: () => secret.read(),
    setTimer: (ms, run) => clock.setTimer(ms, run),
  });
  const ways = { settings, api, clock, random, log, tagPrefix, facts };
  const about = { hostname: hostname(), version: programVersion(), instance: randomUUID() };
  const registration = new Registration({ ...ways, ...about });
  registration.start();
  return registration;
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
