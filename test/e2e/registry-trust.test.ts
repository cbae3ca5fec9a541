// Whoever may register one service, on a real agent and a real process: it must not get another's
// traffic, the stats port, another process' port, or lead anyone to the stats port through a proxy
// that is trusted there.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get, request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type ConsulAgent, hasConsul, startConsul } from '../support/consul.ts';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { freePorts } from '../support/ports.ts';
import { spawnUpriver, startUpriver, type UpriverProcess } from '../support/upriver.ts';

/** Spellings under which all or some connections to a port of this machine come in. */
const SPELLINGS = [
  '',
  '0:',
  '127.0.0.1:',
  '127.1:',
  '0x7f.1:',
  'localhost:',
  '[::]:',
  '[::ffff:127.0.0.1]:',
  '[0:0:0:0:0:ffff:7f00:1]:',
];

describe.skipIf(!hasConsul)('whoever may register a service', () => {
  let consul: ConsulAgent;
  const ends: (() => unknown)[] = [];

  beforeAll(async () => {
    consul = await startConsul();
  });
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
    await consul.deregisterAll();
  });
  afterAll(async () => {
    await consul.stop();
  });

  async function start(...args: string[]): Promise<UpriverProcess> {
    const upriver = await startUpriver({ args: ['--consul', consul.url, ...args] });
    ends.push(() => upriver.stop());
    return upriver;
  }

  async function endpoint(id: string): Promise<EndpointProcess> {
    const started = await startEndpoint(id);
    ends.push(() => started.kill());
    return started;
  }

  const register = (Name: string, Port: number, ...Tags: string[]) =>
    consul.register({ Name, ID: `${Name}-1`, Address: '127.0.0.1', Port, Tags });

  /** Resolves when Upriver has taken in everything that was registered before. */
  async function settled(upriver: UpriverProcess): Promise<void> {
    const [port] = (await freePorts(1)) as [number];
    const name = `mark-${port}`;
    await register(name, 9, `upriver.listen=127.0.0.1:${port}`);
    await expect.poll(() => listensOf(upriver, name)).not.toEqual([]);
  }

  it('gets no listener that another one has, in whatever spelling', async () => {
    const [port] = (await freePorts(1)) as [number];
    const [shop, thief] = [await endpoint('shop'), await endpoint('thief')];
    await register('shop', shop.port);
    const upriver = await start('--service', `shop=${port}`);
    const stats = Number(new URL(upriver.statsUrl).port);
    const wanted = [port, stats].flatMap((one) => SPELLINGS.map((host) => `${host}${one}`));
    for (const [i, listen] of wanted.entries()) {
      await register(`evil-${i}`, thief.port, `upriver.listen=${listen}`);
    }
    await settled(upriver);
    for (const i of wanted.keys()) {
      const told = expect.stringMatching(/is taken by (service shop|the stats port)/);
      await expect.poll(() => problemsOf(upriver, `evil-${i}`)).toEqual([told]);
    }
    expect(await answerers(port, 60)).toEqual({ shop: 60 });
    expect(await answerers(stats, 60)).toEqual({ '': 60 });
    // It is seen wherever an operator looks.
    const metrics = await (await fetch(`${upriver.statsUrl}/metrics`)).text();
    expect(metrics).toContain('upriver_service_problems{service="evil-0"} 1');
    const told = (service: unknown) => upriver.log.filter((line) => line.service === service);
    await expect.poll(() => told('evil-3')).toHaveLength(2);
    const explained = await command('explain', 'evil-0', '--stats', String(stats));
    expect(explained).toContain('is taken by service shop');
  });

  it('gets the port of no other process, though that would share it, until it is free', async () => {
    const [port] = (await freePorts(1)) as [number];
    const other = createServer((socket) => void socket.end('other'));
    ends.push(() => other.close());
    await new Promise<void>((resolve) => {
      other.listen({ port, host: '127.0.0.1', reusePort: true }, resolve);
    });
    const thief = await endpoint('thief');
    const upriver = await start();
    await register('evil', thief.port, `upriver.listen=${port}`);
    const told = [`listener :${port} is taken by another process`];
    await expect.poll(() => problemsOf(upriver, 'evil')).toEqual(told);
    for (let i = 0; i < 30; i += 1) expect(await firstBytes(port)).toBe('other');
    other.close();
    await expect.poll(() => answerers(port, 1).catch(() => null)).toEqual({ thief: 1 });
    // Every worker has opened it by then.
    await expect.poll(() => problemsOf(upriver, 'evil')).toEqual([]);
  });

  it('gets no low port, no unix socket, and what is allowed instead', async () => {
    const [port, other] = (await freePorts(2)) as [number, number];
    const thief = await endpoint('thief');
    const upriver = await start();
    for (const listen of ['22', '53', '/tmp/upriver-evil.sock', `name.invalid:${port}`]) {
      await register('evil', thief.port, `upriver.listen=${listen}`);
      await expect
        .poll(() => problemsOf(upriver, 'evil'))
        .toEqual(expect.arrayContaining([expect.stringContaining(listen.replace(/:\d+$/, ''))]));
    }
    await register('evil', thief.port, `upriver.listen=${other}`);
    await expect.poll(() => answerers(other, 1).catch(() => null)).toEqual({ thief: 1 });
  });

  it('is served by the process that an upgrade starts beside the old one, without a gap', async () => {
    const web = await endpoint('web');
    const [port] = (await freePorts(1)) as [number];
    await register('self', web.port, `upriver.listen=${port}`);
    const old = await start('--workers', '1');
    await settled(old);
    const next = await start('--workers', '1');
    await settled(next);
    // Both have it: told by neither, and served on when the old one goes.
    expect([await problemsOf(old, 'self'), await problemsOf(next, 'self')]).toEqual([[], []]);
    old.signal('SIGTERM');
    expect(await old.exited).toBe(0);
    expect(await answerers(port, 20)).toEqual({ web: 20 });
  });

  it('decides by coming first, before and after a restart', async () => {
    const [port] = (await freePorts(1)) as [number];
    const folder = mkdtempSync(join(tmpdir(), 'upriver-trust-'));
    ends.push(() => rmSync(folder, { recursive: true }));
    const [first, second] = [await endpoint('zz-first'), await endpoint('aa-second')];
    await register('zz-first', first.port, `upriver.listen=${port}`);
    await register('aa-second', second.port, `upriver.listen=127.0.0.1:${port}`);
    const file = ['--state-file', join(folder, 'state')];
    let upriver = await start(...file);
    await settled(upriver);
    expect(await answerers(port, 20)).toEqual({ 'zz-first': 20 });
    // Its instance is replaced, and is younger than the other one's now.
    await register('zz-first', first.port, `upriver.listen=${port}`, 'v2');
    await settled(upriver);
    expect(await answerers(port, 20)).toEqual({ 'zz-first': 20 });
    upriver.signal('SIGTERM');
    await upriver.exited;
    upriver = await start(...file);
    await settled(upriver);
    expect(await answerers(port, 20)).toEqual({ 'zz-first': 20 });
    expect(await problemsOf(upriver, 'aa-second')).toHaveLength(1);
  });

  it.each(['127.0.0.1', '127.8.8.8', '0', '::1', '::ffff:127.0.0.1', 'localhost', '127.1'])(
    'reaches the stats port through no endpoint at %s',
    async (Address) => {
      const [tcp, http] = (await freePorts(2)) as [number, number];
      const web = await endpoint('web');
      await register('web', web.port);
      const [stats, port] = (await freePorts(2)) as [number, number];
      // On every address, so that each spelling would reach it.
      const args = ['--consul', consul.url, '--stats', `:${stats}`, '--service', `web=${port}`];
      const statsUrl = `http://127.0.0.1:${stats}`;
      const upriver = spawnUpriver(['run', ...args], {}, { statsUrl });
      ends.push(() => upriver.stop());
      await upriver.waitForLog(({ msg }) => msg === 'ready', 'ready');
      // Of a node elsewhere, as if another agent had registered it.
      const evil = (Name: string, ...Tags: string[]) =>
        consul.put('/v1/catalog/register', {
          ...{ Node: 'ext', Address: '10.9.9.9' },
          Service: { ID: Name, Service: Name, Address, Port: stats, Tags },
        });
      ends.push(() => consul.put('/v1/catalog/deregister', { Node: 'ext' }));
      await evil('evil-tcp', 'upriver.protocol=tcp', `upriver.listen=${tcp}`);
      await evil(
        'evil-http',
        `upriver.listen=${http}`,
        'upriver.http.request_headers.X-Forwarded-For=',
        'upriver.http.request_headers.X-Real-IP=',
      );
      for (const name of ['evil-tcp', 'evil-http']) {
        const refused = expect.stringContaining('it is the stats port of Upriver itself');
        await expect
          .poll(() => problemsOf(upriver, name))
          .toEqual(expect.arrayContaining([refused]));
      }
      // Refused is the endpoint: the listener is there.
      for (const way of [tcp, http]) await expect.poll(() => takesConnections(way)).toBe(true);
      const path = `/api/v1/services/web/endpoints/${encodeURIComponent('dev/web-1')}/drain`;
      for (const way of [tcp, http]) expect(await post(way, path)).not.toBe(200);
      expect(await statesOf(upriver, 'web')).toEqual(['up']);
      // The operator on this host still may.
      expect(await post(stats, path)).toBe(200);
    },
  );

  it('is not led round in a loop, nor to where metadata is', async () => {
    const [a, b] = (await freePorts(2)) as [number, number];
    const upriver = await start('--service', `loop=${a}`);
    await register('loop', b);
    await register('back', a, `upriver.listen=${b}`, 'upriver.protocol=tcp');
    await consul.register({
      ...{ Name: 'meta', ID: 'meta', Address: '169.254.169.254', Port: 80 },
      Tags: [`upriver.listen=${(await freePorts(1))[0]}`],
    });
    await expect.poll(() => statesOf(upriver, 'loop')).toEqual(['down']);
    await expect.poll(() => statesOf(upriver, 'back')).toEqual(['down']);
    await expect
      .poll(() => problemsOf(upriver, 'meta'))
      .toEqual([
        'endpoint dev/meta: refused: 169.254.169.254 is denied by registries.consul.endpoint_deny',
      ]);
  });

  it('spoils its own option alone, and that is seen everywhere', async () => {
    const [port] = (await freePorts(1)) as [number];
    const [good, bad] = [await endpoint('good'), await endpoint('bad')];
    const upriver = await start();
    const stats = new URL(upriver.statsUrl).port;
    const tags = [`upriver.listen=${port}`, 'upriver.balance=round-robin'];
    await consul.register({
      Name: 'api',
      ID: 'a',
      Address: '127.0.0.1',
      Port: good.port,
      Tags: tags,
    });
    await consul.register({
      ...{ Name: 'api', ID: 'b', Address: '127.0.0.1', Port: bad.port },
      Tags: [...tags, 'upriver.healt.path=/x', `upriver.weight=${'9'.repeat(400)}`],
    });
    await expect.poll(() => problemsOf(upriver, 'api')).toHaveLength(2);
    await expect.poll(() => answerers(port, 1).catch(() => null)).not.toBeNull();
    expect(Object.keys(await answerers(port, 20)).sort()).toEqual(['bad', 'good']);
    const warned = (text: string) =>
      upriver.log.filter(({ service, msg }) => service === 'api' && msg.includes(text));
    await expect.poll(() => warned('healt')).toHaveLength(1);
    await expect.poll(() => warned('weight')).toHaveLength(1);
    for (const verb of [['status'], ['explain', 'api']]) {
      const said = await command(...verb, '--stats', stats);
      expect(said).toMatch(/! .*tag healt.*did you mean health\?/);
    }
    const metrics = await (await fetch(`${upriver.statsUrl}/metrics`)).text();
    expect(metrics).toContain('upriver_service_problems{service="api"} 2');
  });

  it('holds up no restart by its name', async () => {
    const web = await endpoint('web');
    const [port] = (await freePorts(1)) as [number];
    await register('web', web.port);
    for (const Name of ['..', '.', 'a/../b']) {
      const ID = `odd-${Name.length}`;
      await consul.register({ Name, ID, Port: 9, Tags: ['upriver.listen=9999'] });
    }
    // Ready, or this would reject.
    const upriver = await start('--service', `web=${port}`);
    expect(await answerers(port, 1)).toEqual({ web: 1 });
    const asked = await command('explain', '..', '--stats', new URL(upriver.statsUrl).port);
    expect(asked).toContain('.. is not served');
  });

  it('leaves with the provider that knew it', async () => {
    const web = await endpoint('web');
    const [port] = (await freePorts(1)) as [number];
    await register('self', web.port, `upriver.listen=${port}`);
    const folder = mkdtempSync(join(tmpdir(), 'upriver-trust-'));
    ends.push(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'upriver.yaml');
    const configure = (more: string) =>
      writeFileSync(file, `registries: { consul: { address: '${consul.url}'${more} } }\n`);
    configure('');
    const upriver = await startUpriver({ args: ['--config', file] });
    ends.push(() => upriver.stop());
    await expect.poll(() => listensOf(upriver, 'self')).toEqual([`:${port}`]);
    configure(', self_described: false');
    await expect.poll(() => listensOf(upriver, 'self')).toBeNull();
    await expect.poll(() => answerers(port, 1).catch(() => 'closed')).toBe('closed');
  });
});

/** How many of so many requests, each on a connection of its own, were answered by whom. */
async function answerers(port: number, count: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < count; i += 1) {
    const who = await new Promise<string>((resolve, reject) => {
      get({ host: '127.0.0.1', port, path: '/', agent: false }, (response) => {
        response.resume();
        resolve(String(response.headers['x-endpoint'] ?? ''));
      }).on('error', reject);
    });
    counts[who] = (counts[who] ?? 0) + 1;
  }
  return counts;
}

function firstBytes(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString());
    });
    socket.once('error', reject);
  });
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** The status of a POST; 0 where the connection is closed without one. */
function post(port: number, path: string): Promise<number> {
  return new Promise((resolve) => {
    const asked = request({ host: '127.0.0.1', port, path, method: 'POST', agent: false });
    asked.once('response', (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    asked.once('error', () => resolve(0));
    asked.end();
  });
}

interface Service {
  readonly listen: readonly string[];
  readonly problems: readonly string[];
  readonly endpoints: readonly { readonly state: string }[];
}

async function serviceOf({ statsUrl }: UpriverProcess, name: string): Promise<Service | null> {
  const response = await fetch(`${statsUrl}/api/v1/services/${encodeURIComponent(name)}`);
  // The API's own shape (docs/reference/admin-api.md).
  return response.status === 200 ? ((await response.json()) as Service) : null;
}

async function listensOf(upriver: UpriverProcess, name: string) {
  return (await serviceOf(upriver, name))?.listen ?? null;
}

async function statesOf(upriver: UpriverProcess, name: string) {
  return (await serviceOf(upriver, name))?.endpoints.map(({ state }) => state);
}

/** Of the service, or where it is not served, what the process says of it. */
async function problemsOf(upriver: UpriverProcess, name: string): Promise<readonly string[]> {
  const service = await serviceOf(upriver, name);
  if (service !== null && service.problems.length > 0) return service.problems;
  const response = await fetch(`${upriver.statsUrl}/api/v1/status`);
  const { problems } = (await response.json()) as { problems: readonly string[] };
  return problems.filter((problem) => problem.startsWith(`service ${name}: `));
}

/** What a command of the program says. */
async function command(...args: string[]): Promise<string> {
  const process = spawnUpriver(args, {});
  await process.exited;
  return process.output();
}
