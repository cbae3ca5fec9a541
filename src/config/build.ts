// From what the schema yields to what the program works with: names and shapes of the model. Each
// section of a service is built beside its schema.
import { availableParallelism } from 'node:os';
import type { HealthCheck, PrimaryPolicy, Service } from '../model/service.ts';
import type { Settings } from '../model/settings.ts';
import { buildRegistries } from './registries/schemas.ts';
import type { ConfigInput } from './schema/config.ts';
import { buildFailover } from './schema/failover.ts';
import { buildHealth } from './schema/health.ts';
import { buildHttp } from './schema/http.ts';
import { buildLimits, buildTimeouts } from './schema/limits.ts';
import { buildListen, type TlsInput } from './schema/listen.ts';
import { buildPassive } from './schema/passive.ts';
import { buildPrimary } from './schema/primary.ts';
import { buildRetry } from './schema/retry.ts';
import { buildRouter } from './schema/router.ts';
import type { ServiceInput } from './schema/service.ts';
import { buildSources } from './schema/source.ts';
import { buildStats } from './schema/stats.ts';
import { buildTcp } from './schema/tcp.ts';
import { buildTunnels } from './schema/tunnels.ts';
import { buildUdp } from './schema/udp.ts';
import { buildUpstream } from './schema/upstream.ts';

/**
 * `overlayListeners`: keys of the listeners that the KV overlay added. `cores`: how many workers there are where the
 * configuration does not say. Durations become ms, sizes bytes, percentages shares from 0 to 1.
 */
export function buildSettings(
  input: ConfigInput,
  overlayListeners: readonly string[] = [],
  cores = availableParallelism(),
): Settings {
  const { guard, memory, shutdown } = input;
  return {
    registries: buildRegistries(input.registries),
    static: input.static,
    services: Object.entries(input.services).map(([name, service]) =>
      buildService(name, service, input.tls),
    ),
    routers: input.routers.map((router) => buildRouter(router, input.tls)),
    overlayListeners,
    stats: buildStats(input.stats, input.tls),
    guard: { enabled: guard.enabled, holdMs: guard.hold, maxRemovedShare: guard.max_removed },
    state: input.state,
    memoryMaxBytes: memory.max,
    log: input.log,
    workers: input.workers ?? cores,
    shutdownGraceMs: shutdown.grace,
  };
}

/** `tls`: the section of that name. */
export function buildService(name: string, input: ServiceInput, tls?: TlsInput): Service {
  const { balance, health, protocol } = input;
  const check = health === undefined ? null : buildHealth(health, protocol, input.upstream);
  const primary = buildPrimary({ ...input, health: check });
  return {
    name,
    from: buildSources(name, input.from),
    listen: buildListen(input.listen, tls, protocol),
    protocol,
    balance,
    health: check === null ? null : withService(check, input, primary),
    passive: buildPassive(input.passive, balance),
    panic: input.panic,
    failover: buildFailover(input.failover),
    retry: buildRetry(input.retry),
    timeouts: buildTimeouts(input.timeouts),
    limits: buildLimits(input.limits),
    http: buildHttp(input.http),
    upstream: buildUpstream(input.upstream),
    tunnels: buildTunnels(input.tunnels),
    tcp: buildTcp(input.tcp),
    udp: buildUdp(input.udp),
    primary,
    slowStartMs: input.slow_start,
  };
}

/** The check with what the rest of its service says of it. */
function withService(
  check: HealthCheck,
  { upstream }: ServiceInput,
  primary: PrimaryPolicy | null,
): HealthCheck {
  return { ...check, sendProxy: upstream.send_proxy, wantsRole: primary?.by === 'check' };
}
