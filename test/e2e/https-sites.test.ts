// TLS to endpoints that a real Consul catalog names by host name, as services outside are registered
// (https sites): by configuration, by tags and by Meta; checks, verification, and renewed certificates.
import { copyFileSync, writeFileSync } from 'node:fs';
import { createSecureServer, type Http2SecureServer } from 'node:http2';
import { createServer, type Server } from 'node:https';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Authority, type Issued } from '../support/certificates.ts';
import { type ConsulAgent, hasConsul, startConsul } from '../support/consul.ts';
import { hasOwnHosts, withHosts } from '../support/own-hosts.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

const ONE = 'one.sites.test';
const TWO = 'two.sites.test';

const authority = new Authority();
const stranger = new Authority('other CA');
const file = (name: string) => join(authority.folder, name);
const hosts = () => withHosts(file('hosts'), { [ONE]: '127.0.0.1', [TWO]: '127.0.0.1' });

/** What a site was asked, but for what checks asked. */
interface Asked {
  readonly host: string;
  /** The name of the handshake (SNI). */
  readonly name: string;
  readonly alpn: string;
  /** Common name of the client's certificate, or ''. */
  readonly client: string;
  readonly path: string;
}

interface Site {
  readonly port: number;
  readonly requests: Asked[];
  readonly checks: (Asked & { readonly probe: string })[];
  /** How it answers checks. */
  ready: { status: number; body: string };
  /** From now on it shows this certificate; connections that are open keep theirs. */
  show(issued: Issued): void;
}

let consul: ConsulAgent;
let upriver: UpriverProcess | null = null;
const servers: (Server | Http2SecureServer)[] = [];

beforeAll(async () => {
  if (hasConsul) consul = await startConsul();
});
afterEach(async () => {
  await upriver?.stop();
  upriver = null;
  for (const server of servers.splice(0)) server.close();
  const nodes = (await consul.get('/v1/catalog/nodes')) as { Node: string }[];
  for (const { Node } of nodes.filter((one) => one.Node !== 'dev')) {
    await consul.put('/v1/catalog/deregister', { Node });
  }
});
afterAll(async () => {
  await consul?.stop();
  authority.remove();
  stranger.remove();
});

/** A site with this certificate that says `NAME` to everything but /ready. */
async function startSite(
  name: string,
  { cert, key }: Issued,
  { isHttp2 = false } = {},
): Promise<Site> {
  const [port = 0] = await freePorts(1);
  const settings = { cert, key, requestCert: true, rejectUnauthorized: false, ca: authority.ca };
  const server = isHttp2
    ? createSecureServer({ ...settings, allowHTTP1: true })
    : createServer({ ...settings, ALPNProtocols: ['http/1.1'] });
  const site: Site = {
    ...{ port, requests: [], checks: [], ready: { status: 200, body: 'it is ready\n' } },
    show: (issued) => server.setSecureContext({ cert: issued.cert, key: issued.key }),
  };
  server.on('tlsClientError', () => {});
  server.on('request', (request, response) => {
    const { headers, url, stream } = request;
    const socket = (stream?.session?.socket ?? request.socket) as TLSSocket & {
      servername: string;
    };
    const asked: Asked = {
      host: String(headers.host ?? headers[':authority']),
      name: socket.servername,
      alpn: String(socket.alpnProtocol),
      client: String(socket.getPeerCertificate().subject?.CN ?? ''),
      path: String(url),
    };
    if (url === '/ready') {
      site.checks.push({ ...asked, probe: String(headers['x-probe']) });
      response.writeHead(site.ready.status);
      response.end(site.ready.body);
      return;
    }
    site.requests.push(asked);
    response.end(name);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return site;
}

interface External {
  readonly Tags?: readonly string[];
  readonly Meta?: Readonly<Record<string, string>>;
}

/** As consul-esm's users register what has no agent: a node of its own with a host name. */
async function registerSite(service: string, name: string, port: number, more: External = {}) {
  await consul.put('/v1/catalog/register', {
    ...{ Node: `${name}-${port}`, Address: name, NodeMeta: { 'external-node': 'true' } },
    Service: { ID: `${service}-${port}`, Service: service, Port: port, ...more },
  });
}

async function launch(config: string, env: Record<string, string> = {}): Promise<UpriverProcess> {
  writeFileSync(file('upriver.yaml'), config);
  const args = ['--config', file('upriver.yaml'), '--consul', consul.url, '--workers', '1'];
  upriver = await startUpriver({ args, env, within: hosts() });
  return upriver;
}

async function get(port: number, path = '/') {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    headers: { connection: 'close' },
  });
  const reason = response.headers.get('x-upriver-reason') ?? '';
  return { status: response.status, body: await response.text(), reason };
}

/** Answers come from each of these sites, and from nobody else once their first checks are over. */
async function untilServedBy(port: number, names: readonly string[]) {
  const seen = new Set<string>();
  const ask = async () => {
    const { body, reason } = await get(port);
    if (reason !== 'no-endpoint') seen.add(body);
    return [...seen].sort();
  };
  await expect.poll(ask).toEqual([...names].sort());
}

/** `STATE: reason` of the endpoints of a service, in the order of their ids. */
async function states(service: string): Promise<string[]> {
  const response = await fetch(`${upriver!.statsUrl}/api/v1/services/${service}`);
  const { endpoints } = (await response.json()) as {
    endpoints: { state: string; reason: string }[];
  };
  return endpoints.map(({ state, reason }) => (reason === '' ? state : `${state}: ${reason}`));
}

describe.skipIf(!hasConsul || !hasOwnHosts)('an https site of the catalog', () => {
  it('is spoken to as the configuration says: name, Host, CA, our certificate, checks', async () => {
    const client = authority.issue([], { subject: '/CN=upriver' });
    const one = await startSite('one', authority.issue([ONE]));
    const two = await startSite('two', authority.issue([TWO]));
    await registerSite('shop', ONE, one.port);
    await registerSite('shop', TWO, two.port);
    const [port = 0] = await freePorts(1);
    await launch(`
services:
  shop:
    listen: "127.0.0.1:${port}"
    balance: round-robin
    upstream:
      host: endpoint
      tls: { enabled: true, ca_file: ${authority.caFile}, cert_file: ${client.certFile}, key_file: ${client.keyFile} }
    health: { path: /ready, interval: 100ms, rise: 1, fall: 1, headers: { X-Probe: "1" }, status: 200, expect: is ready }
`);
    await untilServedBy(port, ['one', 'two']);
    for (const [site, name] of [
      [one, ONE],
      [two, TWO],
    ] as const) {
      const host = `${name}:${site.port}`;
      const asked = { host, name, alpn: 'http/1.1', client: 'upriver' };
      expect(site.requests[0]).toEqual({ ...asked, path: '/' });
      expect(site.checks[0]).toEqual({ ...asked, path: '/ready', probe: '1' });
    }
    one.ready = { status: 200, body: 'it is draining' };
    two.ready = { status: 503, body: 'it is ready' };
    await expect
      .poll(() => states('shop'))
      .toEqual([
        'down: check: GET /ready answered 200, without "is ready"',
        'down: check: GET /ready answered 503',
      ]);
    one.ready = { status: 200, body: 'it is ready' };
    await expect.poll(async () => (await get(port)).body).toBe('one');
  });

  it('gets the name that is given, by its service or its route, and speaks HTTP/2 by ALPN', async () => {
    const site = await startSite('one', authority.issue(['shop.internal']), { isHttp2: true });
    for (const service of ['given', 'named', 'routed']) {
      await registerSite(service, ONE, site.port);
    }
    const [given = 0, named = 0, routed = 0] = await freePorts(3);
    const ca = `enabled: true, ca_file: ${authority.caFile}`;
    const health = 'health: { path: /ready, interval: 100ms, rise: 1 }';
    await launch(`
services:
  given: { listen: "127.0.0.1:${given}", upstream: { protocol: auto, host: shop.internal, tls: { ${ca} } }, ${health} }
  named: { listen: "127.0.0.1:${named}", upstream: { protocol: h2, tls: { ${ca}, server_name: shop.internal } }, ${health} }
  routed: { upstream: { host: endpoint, tls: { ${ca}, server_name: shop.internal } }, ${health} }
routers:
  - listen: "127.0.0.1:${routed}"
    routes:
      - { path: /own, service: routed, rewrite_host: endpoint }
      - { path: /client, service: named, rewrite_host: endpoint }
      - { path: /given, service: routed, rewrite_host: other.internal }
      - { path: /theirs, service: given, rewrite_host: client }
`);
    const asked = async (port: number, path: string) => {
      await expect.poll(async () => (await get(port, path)).status).toBe(200);
      const { host, name, alpn } = site.requests.find((one) => one.path === path)!;
      return `${host} ${name} ${alpn}`;
    };
    const own = `${ONE}:${site.port}`;
    const sni = 'shop.internal';
    expect(await asked(given, '/a')).toBe(`shop.internal ${sni} h2`);
    expect(await asked(named, '/b')).toBe(`127.0.0.1:${named} ${sni} h2`);
    expect(await asked(routed, '/own')).toBe(`${own} ${sni} http/1.1`);
    expect(await asked(routed, '/client')).toBe(`${own} ${sni} h2`);
    expect(await asked(routed, '/given')).toBe(`other.internal ${sni} http/1.1`);
    expect(await asked(routed, '/theirs')).toBe(`127.0.0.1:${routed} ${sni} h2`);
    // Checks ask for what requests ask for.
    const hostsOfChecks = new Set(site.checks.map(({ host, name }) => `${host} ${name}`));
    expect([...hostsOfChecks].sort()).toEqual([`${own} ${sni}`, `shop.internal ${sni}`].sort());
  });

  it('says by tags and Meta how it is spoken to, and is judged by the public CAs', async () => {
    const site = await startSite('one', authority.issue([ONE, 'shop.internal']));
    const [own = 0, given = 0, declared = 0] = await freePorts(3);
    await registerSite('own', ONE, site.port, {
      Tags: [
        ...[`upriver.listen=127.0.0.1:${own}`, 'upriver.upstream.tls.enabled=true'],
        ...['upriver.rewrite_host=endpoint', 'upriver.health.path=/ready'],
        ...['upriver.health.interval=100ms', 'upriver.health.expect=is ready'],
        'upriver.health.headers.x-probe=tag',
        // What a tag may not say.
        ...['upriver.upstream.tls.verify=false', 'upriver.upstream.tls.ca_file=/etc/hosts'],
      ],
    });
    await registerSite('given', ONE, site.port, {
      Meta: {
        'upriver-listen': `127.0.0.1:${given}`,
        'upriver-upstream-tls-enabled': 'true',
        'upriver-upstream-tls-server_name': 'shop.internal',
        'upriver-upstream-host': 'www.shop.internal',
      },
    });
    await registerSite('declared', ONE, site.port, {
      Tags: [`upriver.listen=127.0.0.1:${declared}`, 'upriver.upstream.tls.enabled=true'],
      Meta: {
        'upriver-upstream-host': 'shop.internal',
        check_https: '/ready',
        check_interval: '1s',
      },
    });
    await launch('{}', { NODE_EXTRA_CA_CERTS: authority.caFile });
    for (const port of [own, given, declared]) {
      await expect
        .poll(async () => (await get(port, `/${port}`).catch(() => null))?.status)
        .toBe(200);
    }
    const asked = (port: number) => {
      const { host, name } = site.requests.find(({ path }) => path === `/${port}`)!;
      return `${host} ${name}`;
    };
    expect(asked(own)).toBe(`${ONE}:${site.port} ${ONE}`);
    expect(asked(given)).toBe('www.shop.internal shop.internal');
    expect(asked(declared)).toBe('shop.internal shop.internal');
    const checks = site.checks.map(({ host, name, probe }) => `${host} ${name} ${probe}`);
    expect([...new Set(checks)].sort()).toEqual([
      `${ONE}:${site.port} ${ONE} tag`,
      'shop.internal shop.internal undefined',
    ]);
    const status = await fetch(`${upriver!.statsUrl}/api/v1/services/own`);
    const problems = JSON.stringify(((await status.json()) as { problems: unknown }).problems);
    expect(problems).toContain('whom to trust is no matter of tags');
    expect(problems).toContain('files of this machine are no matter of tags');
  });

  it('whose certificate does not verify gives a 502, and the log says why', async () => {
    const alien = stranger.issue([ONE]);
    const rows = [
      ['other-ca', alien, 'tls-untrusted', /UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER/],
      ['expired', authority.issue([ONE], { days: -1 }), 'tls-untrusted', /CERT_HAS_EXPIRED/],
      [
        'other-name',
        authority.issue([TWO]),
        'tls-wrong-name',
        /one\.sites\.test.*two\.sites\.test/,
      ],
    ] as const;
    const ports = await freePorts(4);
    const upstream = (verify: boolean) =>
      `upstream: { host: endpoint, tls: { enabled: true, ca_file: ${authority.caFile}, verify: ${verify} } }`;
    const services = rows.map(
      ([name], i) => `  ${name}: { listen: "127.0.0.1:${ports[i]}", ${upstream(true)} }\n`,
    );
    for (const [name, issued] of rows) {
      await registerSite(name, ONE, (await startSite(name, issued)).port);
    }
    await registerSite('any', ONE, (await startSite('any', alien)).port);
    await launch(
      `services:\n${services.join('')}  any: { listen: "127.0.0.1:${ports[3]}", ${upstream(false)} }\n`,
    );
    for (const [i, [name, , reason, detail]] of rows.entries()) {
      await expect.poll(async () => (await get(ports[i]!)).reason).toBe(reason);
      expect((await get(ports[i]!)).status).toBe(502);
      const line = await upriver!.waitForLog(
        (one) => one.service === name && one.reason === reason,
        `why ${name} is not trusted`,
      );
      expect(line.detail).toMatch(detail);
    }
    await expect.poll(async () => (await get(ports[3]!)).body).toBe('any');
  });

  it('whose certificate is renewed is followed, by another CA too', async () => {
    copyFileSync(authority.caFile, file('live-ca.pem'));
    const site = await startSite('one', authority.issue([ONE]));
    await registerSite('shop', ONE, site.port);
    const [port = 0] = await freePorts(1);
    await launch(`
services:
  shop:
    listen: "127.0.0.1:${port}"
    upstream: { host: endpoint, tls: { enabled: true, ca_file: ${file('live-ca.pem')} } }
    health: { path: /ready, interval: 100ms, rise: 1, fall: 1 }
`);
    await expect.poll(async () => (await get(port)).body).toBe('one');
    const failures: unknown[] = [];
    let isOn = true;
    const load = (async () => {
      while (isOn) {
        const answer = await get(port);
        if (answer.body !== 'one') failures.push(answer);
      }
    })();
    // By the same CA: nothing to do, and nothing lost.
    site.show(authority.issue([ONE]));
    const { length } = site.checks;
    await expect.poll(() => site.checks.length).toBeGreaterThan(length + 3);
    isOn = false;
    await load;
    expect(failures).toEqual([]);
    // By a CA that is not known: its check says so.
    site.show(stranger.issue([ONE]));
    await expect
      .poll(async () => (await states('shop')).join())
      .toMatch(/^down: check: UNABLE_TO_/);
    // Once that CA is one of the file it is served again.
    writeFileSync(file('live-ca.pem'), authority.ca + stranger.ca);
    await expect.poll(async () => (await get(port)).body).toBe('one');
  });
});
