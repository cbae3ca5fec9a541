// From what the schema yields to what the program works with: names and shapes of the model.
import { cpus } from 'node:os';
import type { ListenSpec, ListenTls } from '../model/listener.ts';
import type { HeaderRules, PassiveHealth, Service, ServiceSource } from '../model/service.ts';
import type { ConsulSettings, RouterSettings, Settings } from '../model/settings.ts';
import type { ListenInput, TlsInput } from './schema/listen.ts';
import type { ConfigInput, ServiceInput } from './schema.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

export function buildSettings(input: ConfigInput, cores = cpus().length): Settings {
  const { consul } = input.registries;
  return {
    consul: consul === undefined ? null : buildConsul(consul),
    static: input.static,
    services: Object.entries(input.services).map(([name, service]) => buildService(name, service)),
    routers: input.routers.map(buildRouter),
    stats: {
      listen: input.stats.listen,
      adminToken: input.stats.admin_token,
      read: input.stats.read,
      readToken: input.stats.read_token,
      hosts: input.stats.hosts,
    },
    guard: {
      enabled: input.guard.enabled,
      holdMs: input.guard.hold,
      maxRemovedShare: input.guard.max_removed,
    },
    state: input.state,
    memoryMaxBytes: input.memory.max,
    log: input.log,
    workers: input.workers ?? cores,
    shutdownGraceMs: input.shutdown.grace,
  };
}

export function buildService(name: string, input: ServiceInput): Service {
  const { health, http, limits, retry, timeouts } = input;
  return {
    name,
    from: buildSource(name, input.from),
    listen: input.listen.map(buildListen),
    protocol: input.protocol,
    balance: input.balance,
    health:
      health === undefined
        ? null
        : {
            type: health.type ?? (input.protocol === 'tcp' && health.path === '/' ? 'tcp' : 'http'),
            path: health.path,
            host: health.host,
            method: health.method,
            port: health.port,
            intervalMs: health.interval,
            timeoutMs: health.timeout,
            rise: health.rise,
            fall: health.fall,
            expectStatus: health.status,
            initial: health.initial,
          },
    passive: buildPassive(input),
    panic: input.panic,
    retry: {
      attempts: retry.attempts,
      connectAttempts: retry.connect_attempts,
      connectTimeMs: retry.connect_time,
      on: new Set(retry.on.kinds),
      onStatus: new Set(retry.on.statuses),
      budgetShare: retry.budget,
      budgetMinPerSecond: retry.budget_min,
      bodyBytesMax: retry.body,
      hedge: retry.hedge,
    },
    timeouts: {
      connectMs: timeouts.connect,
      responseMs: timeouts.response,
      idleBodyMs: timeouts.idle_body ?? timeouts.idle ?? MINUTE_MS,
      idleTunnelMs: timeouts.idle_tunnel ?? timeouts.idle ?? HOUR_MS,
      idleTcpMs: timeouts.idle_tcp ?? timeouts.idle ?? HOUR_MS,
      clientHeaderMs: timeouts.client_header,
      keepAliveMs: timeouts.keep_alive,
      requestMs: timeouts.request,
    },
    limits: {
      connections: limits.connections,
      connectionsPerClient: limits.connections_per_client,
      perEndpoint: limits.per_endpoint,
      queue: limits.queue,
      queueTimeoutMs: limits.queue_timeout,
      parkMs: limits.park,
      requests: limits.requests,
      adaptive: limits.adaptive,
      headerBytes: limits.header_bytes,
      headerCount: limits.header_count,
      targetBytes: limits.target_bytes,
      bodyBytes: limits.body,
      keepAliveRequests: limits.keep_alive_requests,
      pipelined: limits.pipelined,
      idleUpstream: limits.idle_upstream,
      idleUpstreamMs: limits.idle_upstream_time,
      upstreamAgeMs: limits.upstream_age,
    },
    http: {
      trustedProxies: http.trusted_proxies,
      forwarded: http.forwarded,
      via: http.via,
      requestId: http.request_id,
      serverName: http.server,
      headers: {
        request: headerRules(http.request_headers, http.rename_request_headers),
        response: headerRules(http.response_headers, http.rename_response_headers),
      },
    },
    tcp: { earlyFailureMs: input.tcp.early_failure },
    slowStartMs: input.slow_start,
  };
}

function buildListen(input: ListenInput): ListenSpec {
  const { hsts, tls } = input;
  return {
    address: input.address,
    tls: tls === false ? null : tls === 'pass' ? tls : buildTls(tls === true ? {} : tls),
    http2: input.http2,
    acceptProxy: input.accept_proxy,
    redirectHttps: input.redirect_https,
    hsts:
      hsts === null
        ? null
        : {
            maxAgeSeconds: Math.floor(hsts.max_age / 1000),
            includeSubdomains: hsts.include_subdomains,
            preload: hsts.preload,
          },
  };
}

function buildTls(own: TlsInput): ListenTls {
  return {
    certificates: (own.certificates ?? []).map(({ cert_file: certFile, key_file: keyFile, dir }) =>
      dir === '' ? { kind: 'pair', certFile, keyFile } : { kind: 'folder', dir },
    ),
    minVersion: own.min_version ?? '1.2',
    clientAuth: own.client_auth ?? 'off',
    clientCaFile: own.client_ca_file ?? '',
  };
}

function buildPassive({ passive, balance }: ServiceInput): PassiveHealth {
  const { success_rate: rate, latency } = passive;
  // Off means off: what is on by default follows.
  const isOff = passive.consecutive_failures === 0;
  // With hashing one client's errors are one endpoint's: a comparison is to be asked for.
  const isAuto = !isOff && balance.policy !== 'hash';
  const isCompared = rate.enabled === 'auto' ? isAuto : rate.enabled;
  return {
    consecutiveFailures: passive.consecutive_failures,
    connectFailures: isOff ? 0 : passive.connect_failures,
    resets: passive.resets,
    timeouts: isOff ? 0 : passive.timeouts,
    gatewayErrors: passive.gateway_errors,
    serverErrors: passive.server_errors,
    successRate: isCompared
      ? {
          windowMs: rate.window,
          minRequests: rate.min_requests,
          minEndpoints: rate.min_endpoints,
          excess: rate.excess,
        }
      : null,
    latency: latency.enabled ? { factor: latency.factor, minMs: latency.min } : null,
    ejectionMs: passive.ejection,
    maxEjectedShare: passive.max_ejected,
  };
}

function buildSource(name: string, from: ServiceInput['from']): ServiceSource {
  return { ...from, service: from.service ?? name };
}

function buildConsul(input: NonNullable<ConfigInput['registries']['consul']>): ConsulSettings {
  const { tls } = input;
  return {
    addresses: input.address.map((address) => agentOf(address).url),
    token: input.token,
    tokenFile: input.token_file,
    httpAuth: input.http_auth,
    addressAuth: Object.fromEntries(
      input.address.map(agentOf).flatMap(({ url, auth }) => (auth === '' ? [] : [[url, auth]])),
    ),
    datacenter: input.datacenter,
    namespace: input.namespace,
    partition: input.partition,
    stale: input.stale,
    waitMs: input.wait,
    tls: {
      caFile: tls.ca_file,
      certFile: tls.cert_file,
      keyFile: tls.key_file,
      serverName: tls.server_name,
      verify: tls.verify,
    },
    selfDescribed: input.self_described,
    tagPrefix: input.tag_prefix,
    listenAllow: input.listen_allow,
    endpointDeny: input.endpoint_deny,
    kvKey: input.kv_key,
  };
}

/** An agent's URL, and the user:password that stood in it: they are sent, and never shown. */
function agentOf(address: string): { url: string; auth: string } {
  const whole = consulUrl(address);
  const url = whole.startsWith('unix:') ? null : URL.parse(whole);
  if (url === null || (url.username === '' && url.password === '')) return { url: whole, auth: '' };
  const auth = `${unescaped(url.username)}:${unescaped(url.password)}`;
  return { url: `${url.protocol}//${url.host}`, auth };
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A percent sign that stands for itself.
    return text;
  }
}

/** `host:port` as Consul's own CLI takes it, or a URL as it is. */
function consulUrl(address: string): string {
  return /^[a-z]+:\/\//.test(address) ? address : `http://${address}`;
}

function buildRouter(router: ConfigInput['routers'][number]): RouterSettings {
  return {
    listen: router.listen.map(buildListen),
    limits: {
      headerBytes: router.limits.header_bytes,
      headerCount: router.limits.header_count,
      targetBytes: router.limits.target_bytes,
      keepAliveRequests: router.limits.keep_alive_requests,
      pipelined: router.limits.pipelined,
    },
    timeouts: {
      clientHeaderMs: router.timeouts.client_header,
      keepAliveMs: router.timeouts.keep_alive,
      idleBodyMs: router.timeouts.idle_body,
    },
    routes: router.routes.map((route) => ({
      host: route.host,
      path: route.path,
      service: route.service,
      stripPrefix: route.strip,
      addPrefix: route.prefix,
      rewriteHost: route.rewrite_host,
      redirect: route.redirect ?? null,
    })),
  };
}

type Fields = Readonly<Record<string, string>>;

function headerRules(set: Fields, rename: Fields): HeaderRules {
  const names = lowerNames(rename);
  const renames = Object.entries(names).map(([from, to]) => [from, to.toLowerCase()]);
  return { set: lowerNames(set), rename: Object.fromEntries(renames) };
}

function lowerNames(fields: Fields): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value]),
  );
}
