// Real Consul agents for tests: a dev agent, three servers with a client agent, and an agent with
// ACLs and TLS. Everything listens on loopback, on ports that were free a moment ago; agents are
// ended by pid with SIGKILL, since an orderly leave takes seconds.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import { untilTrue } from './discovery.ts';
import { HERE, type Whereabouts } from './endpoint.ts';
import { findInstalled, MemberProcess } from './member.ts';
import { freePorts } from './ports.ts';
import { makeCertificates } from './registry-certificates.ts';

/** Path of the binary, or '' where there is none. */
export const consulBin = findInstalled('Consul', 'install-consul');
/** For describe.skipIf(!hasConsul). In CI its absence is an error instead. */
export const hasConsul = consulBin !== '';

/** PUT /v1/agent/service/register takes this and more. */
export interface ServiceDefinition {
  readonly Name: string;
  readonly ID?: string;
  readonly Address?: string;
  readonly Port?: number;
  readonly Tags?: readonly string[];
  readonly Meta?: Readonly<Record<string, string>>;
  readonly Weights?: { readonly Passing: number; readonly Warning: number };
  readonly Check?: Readonly<Record<string, unknown>>;
}

export interface ConsulAgent {
  /** HTTP port; `url` is its address. */
  readonly port: number;
  readonly url: string;
  readonly node: string;
  readonly pid: number;
  /** GET, parsed. Throws unless it answers 200. */
  get(path: string): Promise<unknown>;
  put(path: string, body?: unknown): Promise<unknown>;
  register(service: ServiceDefinition): Promise<void>;
  deregister(id: string): Promise<void>;
  /** Takes out what was registered here, except Consul itself. */
  deregisterAll(): Promise<void>;
  /** Puts a service (or with '' the whole node) into maintenance, or ends it. */
  maintenance(id: string, enable: boolean, reason?: string): Promise<void>;
  /** Reports the status of a TTL check. */
  setCheck(id: string, status: 'passing' | 'warning' | 'critical', output?: string): Promise<void>;
  freeze(): void;
  thaw(): void;
  /** kill -9; the ports stay reserved for `restart`. */
  kill(): Promise<void>;
  /** Starts it again on the same ports; a dev agent comes back empty. */
  restart(): Promise<void>;
  /** kill -9, and its files are removed. */
  stop(): Promise<void>;
}

export interface AgentOptions {
  readonly node?: string;
  /** More arguments of `consul agent`. */
  readonly args?: readonly string[];
  /** Sent with every request of the helpers. */
  readonly token?: string;
  /** What must hold before it counts as up; default: it has a leader. */
  readonly isUp?: (agent: ConsulAgent) => Promise<boolean>;
  /** Where it runs and is reached; default: on loopback. */
  readonly where?: Whereabouts;
}

/** Starts a dev agent (one server, in memory) and waits for its leader. */
export async function startConsul(options: AgentOptions = {}): Promise<ConsulAgent> {
  const [http, server, serf] = (await freePorts(3)) as [number, number, number];
  const node = options.node ?? 'dev';
  return launch(http, node, options, [
    ...['-dev', '-node', node, '-bind', '127.0.0.1'],
    ...['-client', (options.where ?? HERE).address],
    ...['-http-port', `${http}`, '-server-port', `${server}`, '-serf-lan-port', `${serf}`],
    ...['-serf-wan-port', '-1', '-dns-port', '-1', '-grpc-port', '-1', '-log-level', 'warn'],
  ]);
}

export interface ConsulCluster {
  readonly servers: readonly ConsulAgent[];
  readonly client: ConsulAgent;
  /** The server that leads; an election that goes on is waited for. */
  leader(): Promise<ConsulAgent>;
  stop(): Promise<void>;
}

/** Starts three servers and a client agent with these arguments, and waits until the catalog knows all four. */
export async function startConsulCluster(args: readonly string[] = []): Promise<ConsulCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-consul-'));
  const ports = await freePorts(12);
  const portsOf = (i: number) => ports.slice(i * 3, i * 3 + 3) as [number, number, number];
  const joins = [0, 1, 2].flatMap((i) => ['-retry-join', `127.0.0.1:${portsOf(i)[1]}`]);
  const begin = (i: number, more: readonly string[], isUp: AgentOptions['isUp']) => {
    const [http, serf, server] = portsOf(i);
    const node = `n${i + 1}`;
    return launch(http, node, isUp === undefined ? {} : { isUp }, [
      ...['-node', node, '-data-dir', join(folder, node), '-bind', '127.0.0.1', ...more],
      ...['-client', '127.0.0.1', '-http-port', `${http}`, '-serf-lan-port', `${serf}`],
      ...['-serf-wan-port', '-1', '-server-port', `${server}`, '-dns-port', '-1'],
      ...['-grpc-port', '-1', ...joins, '-retry-interval', '1s', '-disable-host-node-id'],
      ...['-hcl', 'performance { raft_multiplier = 1 }', '-log-level', 'warn', ...args],
    ]);
  };
  const asServer = ['-server', '-bootstrap-expect', '3'];
  const agents = await Promise.all([
    ...[0, 1, 2].map((i) => begin(i, asServer, knowsNodes(4))),
    begin(3, [], knowsNodes(4)),
  ]);
  const servers = agents.slice(0, 3);
  return {
    servers,
    client: agents[3]!,
    leader: async () => {
      let leader: ConsulAgent | undefined;
      await untilTrue(
        async () => {
          const address = await agents[3]!.get('/v1/status/leader').catch(() => '');
          leader = servers.find((_, i) => address === `127.0.0.1:${portsOf(i)[2]}`);
          return leader !== undefined;
        },
        () => 'none of the servers leads',
      );
      return leader!;
    },
    stop: async () => {
      await Promise.all(agents.map((agent) => agent.stop()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface SecureConsul {
  /** `url` is plain HTTP, for the helpers; `httpsUrl` is the one to test with. */
  readonly agent: ConsulAgent;
  readonly httpsUrl: string;
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly managementToken: string;
  /** Makes a token with these rules; resolves with its secret. */
  makeToken(name: string, rules: string): Promise<string>;
  deleteToken(secret: string): Promise<void>;
  stop(): Promise<void>;
}

export const READ_ALL =
  'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" } key_prefix "" { policy = "read" }';

/** A dev agent with default policy deny, a CA of its own, and (on HTTPS) client certificates. */
export async function startSecureConsul(
  options: { readonly needsClientCertificate?: boolean } = {},
): Promise<SecureConsul> {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-consul-tls-'));
  makeCertificates(folder);
  const managementToken = '11111111-1111-1111-1111-111111111111';
  const [https] = await freePorts(1);
  const file = (name: string) => join(folder, name);
  writeFileSync(
    file('acl.hcl'),
    `acl { enabled = true default_policy = "deny" down_policy = "extend-cache"
      tokens { master = "${managementToken}" agent = "${managementToken}" } }
    ca_file = "${file('ca.pem')}" cert_file = "${file('server.pem')}" key_file = "${file('server.key')}"
    verify_incoming_https = ${options.needsClientCertificate ?? true}
    verify_incoming_rpc = true verify_outgoing = true`,
  );
  const agent = await startConsul({
    token: managementToken,
    args: ['-https-port', `${https}`, '-config-file', file('acl.hcl')],
    isUp: (one) =>
      one.get('/v1/acl/token/self').then(
        () => true,
        () => false,
      ),
  });
  const accessors = new Map<string, string>();
  return {
    agent,
    httpsUrl: `https://127.0.0.1:${https}`,
    caFile: file('ca.pem'),
    certFile: file('client.pem'),
    keyFile: file('client.key'),
    managementToken,
    makeToken: async (name, rules) => {
      await agent.put('/v1/acl/policy', { Name: name, Rules: rules });
      // Consul's own shape.
      const token = (await agent.put('/v1/acl/token', { Policies: [{ Name: name }] })) as {
        AccessorID: string;
        SecretID: string;
      };
      accessors.set(token.SecretID, token.AccessorID);
      return token.SecretID;
    },
    deleteToken: async (secret) => {
      await ask(agent.url, managementToken, 'DELETE', `/v1/acl/token/${accessors.get(secret)}`);
    },
    stop: async () => {
      await agent.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function launch(
  port: number,
  node: string,
  options: AgentOptions,
  args: readonly string[],
): Promise<ConsulAgent> {
  const { token = '', isUp = hasLeader, where = HERE } = options;
  const url = `http://${where.address}:${port}`;
  const command = () => [...where.within, consulBin, 'agent', ...args, ...(options.args ?? [])];
  const put = (path: string, body?: unknown) => ask(url, token, 'PUT', path, body);
  const agent: ConsulAgent = {
    port,
    url,
    node,
    get pid() {
      return member.pid;
    },
    get: (path) => ask(url, token, 'GET', path),
    put,
    register: async (service) => void (await put('/v1/agent/service/register', service)),
    deregister: async (id) =>
      void (await put(`/v1/agent/service/deregister/${encodeURIComponent(id)}`)),
    deregisterAll: async () => {
      const services = (await agent.get('/v1/agent/services')) as Record<string, unknown>;
      for (const id of Object.keys(services)) await agent.deregister(id);
    },
    maintenance: async (id, enable, reason = '') => {
      const path = id === '' ? '/v1/agent/maintenance' : `/v1/agent/service/maintenance/${id}`;
      await put(`${path}?enable=${enable}&reason=${encodeURIComponent(reason)}`);
    },
    setCheck: async (id, status, output = '') =>
      void (await put(`/v1/agent/check/update/${id}`, { Status: status, Output: output })),
    freeze: () => member.freeze(),
    thaw: () => member.thaw(),
    kill: () => member.kill(),
    restart: () => member.restart(),
    stop: () => member.kill(),
  };
  const member = new MemberProcess({
    ...{ name: `Consul on port ${port}`, command, isUp: () => isUp(agent) },
    env: { PATH: process.env.PATH ?? '', HOME: tmpdir() },
  });
  await member.untilUp();
  return agent;
}

async function hasLeader(agent: ConsulAgent): Promise<boolean> {
  const leader = await agent.get('/v1/status/leader').catch(() => '');
  if (leader === '') return false;
  // A dev agent serves before its own node is in the catalog.
  return knowsNodes(1)(agent);
}

function knowsNodes(count: number): (agent: ConsulAgent) => Promise<boolean> {
  return async (agent) => {
    const nodes = await agent.get('/v1/catalog/nodes').catch(() => []);
    return Array.isArray(nodes) && nodes.length >= count;
  };
}

async function ask(
  url: string,
  token: string,
  method: 'GET' | 'PUT' | 'DELETE',
  path: string,
  body?: unknown,
): Promise<unknown> {
  const response = await request(url + path, {
    method,
    headers: token === '' ? {} : { 'x-consul-token': token },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.body.text();
  if (response.statusCode !== 200) {
    throw new Error(`${method} ${path} answered ${response.statusCode}: ${text}`);
  }
  return text === '' ? null : JSON.parse(text);
}
