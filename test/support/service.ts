// Services and snapshots for tests of the data plane: complete, with the given parts replaced.
import type { EffectiveEndpoint } from '../../src/model/endpoint.ts';
import {
  formatListen,
  type ListenAddress,
  type ListenSpec,
  PLAIN_LISTEN,
} from '../../src/model/listener.ts';
import type {
  PassiveHealth,
  Service,
  TcpPolicy,
  TunnelPolicy,
  UdpPolicy,
} from '../../src/model/service.ts';
import type { ListenerSnapshot, ServiceSnapshot } from '../../src/model/snapshot.ts';
import { onlySource, plainSource, type ServiceSource } from '../../src/model/source.ts';

/** A service with plain settings; `parts` replaces whole keys. */
export function makeService(parts: Partial<Service> = {}): Service {
  const name = parts.name ?? 'web';
  return {
    name,
    from: onlySource(plainSource('static', name)),
    listen: [],
    protocol: 'http',
    balance: { policy: 'round-robin', hash: null },
    health: null,
    passive: makePassive(),
    panic: { threshold: 0.5, spread: 'spill' },
    failover: { afterMs: 0, returnAfterMs: 30_000 },
    retry: {
      attempts: 3,
      connectAttempts: 32,
      connectTimeMs: 15_000,
      on: new Set(['connect', 'reset', 'timeout']),
      onStatus: new Set(),
      budgetShare: 0.2,
      budgetMinPerSecond: 10,
      bodyBytesMax: 64 * 1024,
      hedge: null,
    },
    timeouts: {
      connectMs: 5000,
      responseMs: 60_000,
      idleBodyMs: 60_000,
      idleTunnelMs: 60_000,
      idleTcpMs: 60_000,
      idleUdpMs: 60_000,
      clientHeaderMs: 10_000,
      keepAliveMs: 60_000,
      requestMs: 0,
    },
    limits: {
      connections: 10_000,
      connectionsPerClient: 0,
      perEndpoint: 0,
      queue: 1000,
      queueTimeoutMs: 5000,
      parkMs: 0,
      requests: 0,
      adaptive: false,
      headerBytes: 32 * 1024,
      headerCount: 100,
      targetBytes: 8192,
      bodyBytes: 0,
      keepAliveRequests: 0,
      pipelined: 0,
      idleUpstream: 64,
      idleUpstreamMs: 60_000,
      upstreamAgeMs: 0,
    },
    http: {
      trustedProxies: [],
      forwarded: false,
      via: false,
      requestId: 'off',
      serverName: '',
      headers: { request: { set: {}, rename: {} }, response: { set: {}, rename: {} } },
    },
    upstream: { protocol: 'http1', sendProxy: 'off', tls: null, host: 'client' },
    tunnels: TUNNELS,
    tcp: makeTcp(),
    udp: makeUdp(),
    slowStartMs: 0,
    primary: null,
    ...parts,
  };
}

export function makePassive(parts: Partial<PassiveHealth> = {}): PassiveHealth {
  return {
    consecutiveFailures: 5,
    connectFailures: 3,
    resets: 0,
    timeouts: 3,
    gatewayErrors: 0,
    serverErrors: 0,
    successRate: null,
    latency: null,
    ejectionMs: 10_000,
    maxEjectedShare: 0.5,
    ...parts,
  };
}

/** A snapshot of the service with an endpoint, in state `up`, on each of these loopback ports. */
export function makeSnapshot(
  service: Service,
  ports: readonly number[],
  weights: readonly number[] = [],
): ServiceSnapshot {
  const endpoints = ports.map(
    (port, slot): EffectiveEndpoint => ({
      id: `e${slot}`,
      address: '127.0.0.1',
      port,
      weight: weights[slot] ?? 1,
      state: 'up',
      reason: '',
      sinceMs: 0,
      slot,
      isSpare: false,
      slowStartFromMs: 0,
      priority: 1,
    }),
  );
  return { service, slot: 0, isPanicking: false, priority: 1, endpoints };
}

/** A listener that leads to the service alone. */
export function makeListener(service: Service, address: ListenAddress): ListenerSnapshot {
  const { name, protocol, limits, timeouts } = service;
  const rules = { routes: [], limits, timeouts, policy: PLAIN_LISTEN };
  return { key: formatListen(address), address, protocol, service: name, ...rules };
}

/** The address as configuration that says no more of it. */
export function plainListen(address: ListenAddress): ListenSpec {
  return { address, ...PLAIN_LISTEN };
}

/** The only source of a service. */
export function sourceOf({ from }: Service): ServiceSource {
  return from[0]!.source;
}

/** A TCP port on loopback; 0 is any that is free. */
export function loopback(port = 0): ListenAddress {
  return { kind: 'tcp', host: '127.0.0.1', port };
}

/** What is special to UDP services, with the given parts replaced. */
export function makeUdp(parts: Partial<UdpPolicy> = {}): UdpPolicy {
  return {
    responses: null,
    amplificationMax: 0,
    ratePerClient: 0,
    onDownMs: 0,
    onDrainMs: 0,
    ...parts,
  };
}

/** Tunnels go on whatever becomes of their endpoint. */
export const TUNNELS: TunnelPolicy = { onDownMs: null, onDrainMs: null };

/** What is special to TCP services, with the given parts replaced. */
export function makeTcp(parts: Partial<TcpPolicy> = {}): TcpPolicy {
  return { earlyFailureMs: 1000, onDownMs: null, onDrainMs: null, keepAlive: null, ...parts };
}
