// Real members of etcd for tests: one, three in a cluster, with TLS. Everything listens on loopback, on
// ports that were free a moment ago; members are ended by pid with SIGKILL.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, type Dispatcher, request } from 'undici';
import { untilTrue } from './discovery.ts';
import { findInstalled, MemberProcess } from './member.ts';
import { freePorts } from './ports.ts';
import { makeCertificates } from './registry-certificates.ts';

/** Paths of the binaries, or '' where there are none. */
export const etcd34 = findEtcd('bookworm', 'ETCD_BIN');
export const etcd35 = findEtcd('trixie', 'ETCD_35_BIN');

export interface EtcdMember {
  /** Of clients. */
  readonly url: string;
  readonly pid: number;
  readonly v2: V2;
  readonly v3: V3;
  freeze(): void;
  thaw(): void;
  /** kill -9; its data stays. */
  kill(): Promise<void>;
  /** Starts it again on the same ports, with its data or (`isEmpty`) without. */
  restart(isEmpty?: boolean): Promise<void>;
  /** kill -9, and its files are removed. */
  stop(): Promise<void>;
}

/** The keys of the v2 API, as docker-register writes them. */
export interface V2 {
  /** `more`: ttl, prevExist, dir, ... */
  set(key: string, value: string, more?: Readonly<Record<string, string>>): Promise<void>;
  makeDir(key: string): Promise<void>;
  delete(key: string, query?: string): Promise<void>;
  /** PUT or POST of any other path of v2. */
  call(method: 'PUT' | 'POST', path: string, body: unknown): Promise<unknown>;
}

export interface V3 {
  /** The lease's id. */
  grant(ttl: number): Promise<string>;
  revoke(lease: string): Promise<void>;
  put(key: string, value: string, lease?: string): Promise<void>;
  delete(key: string): Promise<void>;
  /** The revision that the store has. */
  revision(): Promise<number>;
  compact(revision: number): Promise<void>;
  /** POST of the gateway; the answer, parsed. */
  call(path: string, body: unknown): Promise<unknown>;
}

export interface MemberOptions {
  /** By default etcd 3.4. */
  readonly bin?: string;
  /** More arguments of etcd. */
  readonly args?: readonly string[];
  /** Of users, for the helpers. */
  readonly auth?: { readonly username: string; readonly password: string };
  readonly tls?: Tls;
}

interface Tls {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** One member that serves both APIs. */
export async function startEtcd(options: MemberOptions = {}): Promise<EtcdMember> {
  const [client, peer] = (await freePorts(2)) as [number, number];
  return launch({ name: 'e0', client, peer, peers: [`e0=http://127.0.0.1:${peer}`] }, options);
}

/** Three members of one cluster, that know a leader. */
export async function startEtcdCluster(options: MemberOptions = {}): Promise<{
  readonly members: readonly EtcdMember[];
  /** The one that leads; an election that goes on is waited for. */
  leader(): Promise<EtcdMember>;
  stop(): Promise<void>;
}> {
  const ports = await freePorts(6);
  const peers = [0, 1, 2].map((i) => `e${i}=http://127.0.0.1:${ports[i * 2 + 1]}`);
  const members = await Promise.all(
    [0, 1, 2].map((i) =>
      launch({ name: `e${i}`, client: ports[i * 2]!, peer: ports[i * 2 + 1]!, peers }, options),
    ),
  );
  return {
    members,
    leader: async () => {
      let leader: EtcdMember | undefined;
      const find = async (): Promise<boolean> => {
        for (const member of members) if (await leads(member)) leader = member;
        return leader !== undefined;
      };
      await untilTrue(find, () => 'no member leads');
      return leader!;
    },
    stop: async () => void (await Promise.all(members.map((member) => member.stop()))),
  };
}

async function leads({ v3 }: EtcdMember): Promise<boolean> {
  // The gateway's own shape.
  const status = (await v3.call('/v3/maintenance/status', {}).catch(() => null)) as {
    header: { member_id: string };
    leader?: string;
  } | null;
  return status !== null && status.leader === status.header.member_id;
}

/** A member that speaks TLS, with certificates of a CA of its own; clients need one of it. */
export async function startSecureEtcd(
  options: Omit<MemberOptions, 'tls'> = {},
): Promise<{ readonly member: EtcdMember; readonly tls: Tls; stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-etcd-tls-'));
  makeCertificates(folder);
  const file = (name: string) => join(folder, name);
  const tls = { caFile: file('ca.pem'), certFile: file('client.pem'), keyFile: file('client.key') };
  const args = [
    ...['--cert-file', file('server.pem'), '--key-file', file('server.key')],
    ...['--trusted-ca-file', file('ca.pem'), '--client-cert-auth'],
  ];
  const member = await startEtcd({ ...options, tls, args: [...(options.args ?? []), ...args] });
  return {
    member,
    tls,
    stop: async () => {
      await member.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

interface Place {
  readonly name: string;
  readonly client: number;
  readonly peer: number;
  readonly peers: readonly string[];
}

async function launch(place: Place, options: MemberOptions): Promise<EtcdMember> {
  const { bin = etcd34, args = [], tls } = options;
  const folder = mkdtempSync(join(tmpdir(), 'upriver-etcd-'));
  const url = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${place.client}`;
  const peerUrl = `http://127.0.0.1:${place.peer}`;
  let data = 0;
  const command = (): string[] => [
    ...[bin, '--name', place.name, '--data-dir', join(folder, `data${data}`)],
    ...['--listen-client-urls', url, '--advertise-client-urls', url],
    ...['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl],
    ...['--initial-cluster', place.peers.join(), '--enable-v2=true', '--logger', 'zap'],
    ...['--log-level', 'warn', '--unsafe-no-fsync'],
    ...['--heartbeat-interval', '50', '--election-timeout', '500', ...args],
  ];
  const ask = askerOf(url, options);
  const isUp = () => ask('GET', '/health').then(isHealthy, () => false);
  const member = new MemberProcess({ name: `etcd at ${url}`, command, isUp });
  await member.untilUp();
  return {
    url,
    get pid() {
      return member.pid;
    },
    v2: v2Of(ask),
    v3: v3Of(ask, options),
    freeze: () => member.freeze(),
    thaw: () => member.thaw(),
    kill: () => member.kill(),
    restart: async (isEmpty = false) => {
      await member.kill();
      if (isEmpty) data += 1;
      await member.restart();
    },
    stop: async () => {
      await member.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

type Method = 'GET' | 'PUT' | 'POST' | 'DELETE';
type Ask = (
  method: Method,
  path: string,
  more?: { body?: string; type?: string; token?: string },
) => Promise<unknown>;

function askerOf(url: string, { auth, tls }: MemberOptions): Ask {
  const dispatcher = tls === undefined ? undefined : tlsAgent(tls);
  return async (method, path, { body, type = 'application/json', token } = {}) => {
    const basic = Buffer.from(`${auth?.username}:${auth?.password}`).toString('base64');
    const authorization = token ?? (auth === undefined ? undefined : `Basic ${basic}`);
    const { statusCode, body: answer } = await request(url + path, {
      method,
      headers: { 'content-type': type, ...(authorization === undefined ? {} : { authorization }) },
      ...(body === undefined ? {} : { body }),
      ...(dispatcher === undefined ? {} : { dispatcher }),
    });
    const text = await answer.text();
    if (statusCode < 200 || statusCode > 299) {
      throw new Error(`${method} ${path} answered ${statusCode}: ${text}`);
    }
    return text === '' ? null : JSON.parse(text);
  };
}

function tlsAgent({ caFile, certFile, keyFile }: Tls): Dispatcher {
  const [ca, cert, key] = [caFile, certFile, keyFile].map((file) => readFileSync(file));
  return new Agent({ connect: { ca: ca!, cert: cert!, key: key! }, allowH2: false });
}

function isHealthy(answer: unknown): boolean {
  // {"health":"true"}
  return (answer as { health?: string } | null)?.health === 'true';
}

function v2Of(ask: Ask): V2 {
  const type = 'application/x-www-form-urlencoded';
  return {
    set: async (key, value, more = {}) => {
      const body = new URLSearchParams({ value, ...more }).toString();
      await ask('PUT', `/v2/keys${key}`, { body, type });
    },
    makeDir: async (key) => void (await ask('PUT', `/v2/keys${key}`, { body: 'dir=true', type })),
    delete: async (key, query = '') => void (await ask('DELETE', `/v2/keys${key}?${query}`)),
    call: (method, path, body) => ask(method, path, { body: JSON.stringify(body) }),
  };
}

function v3Of(ask: Ask, { auth }: MemberOptions): V3 {
  const b64 = (text: string) => Buffer.from(text).toString('base64');
  const call = async (path: string, body: unknown): Promise<unknown> => {
    const text = JSON.stringify(body);
    if (auth === undefined) return ask('POST', path, { body: text });
    const { username: name, password } = auth;
    const login = JSON.stringify({ name, password });
    const { token } = (await ask('POST', '/v3/auth/authenticate', { body: login, token: '' })) as {
      token: string;
    };
    return ask('POST', path, { body: text, token });
  };
  return {
    call,
    grant: async (ttl) => ((await call('/v3/lease/grant', { TTL: ttl })) as { ID: string }).ID,
    revoke: async (ID) => void (await call('/v3/lease/revoke', { ID })),
    put: async (key, value, lease = '0') =>
      void (await call('/v3/kv/put', { key: b64(key), value: b64(value), lease })),
    delete: async (key) => void (await call('/v3/kv/deleterange', { key: b64(key) })),
    revision: async () => {
      const { header } = (await call('/v3/kv/range', { key: b64('/') })) as {
        header: { revision: string };
      };
      return Number(header.revision);
    },
    compact: async (revision) =>
      void (await call('/v3/kv/compaction', { revision: String(revision), physical: true })),
  };
}

/** What the variable says, or what scripts/install-etcd finds; says so loudly where there is none. */
function findEtcd(suite: string, variable: string): string {
  const given = process.env[variable] ?? '';
  return given === '' ? findInstalled(`etcd (${suite})`, 'install-etcd', suite) : given;
}
