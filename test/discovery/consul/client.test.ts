// Several agents, tokens that change, parameters: what surrounds the questions.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConsulProvider } from '../../../src/discovery/consul/provider.ts';
import type { Known } from '../../../src/discovery/provider.ts';
import type { Endpoint } from '../../../src/model/endpoint.ts';
import type { ConsulSettings } from '../../../src/model/registries/consul.ts';
import type { ServiceSource } from '../../../src/model/source.ts';
import {
  consulDoors,
  consulSettings,
  guardSettings,
  keepingLogger,
  Receiver,
  source,
  untilTrue,
} from '../../support/discovery.ts';
import { fastClock } from '../../support/fast-clock.ts';
import {
  type Scripted,
  type ScriptedAgent,
  startScriptedAgent,
} from '../../support/scripted-agent.ts';

const ends: (() => Promise<void> | void)[] = [];
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'upriver-client-'));
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  rmSync(folder, { recursive: true, force: true });
});

async function agentWith(answer: (path: string, n: number) => Scripted | null) {
  let questions = 0;
  const agent = await startScriptedAgent(({ path }) => {
    if (path.startsWith('/v1/acl') || path.startsWith('/v1/catalog')) return { status: 404 };
    if (path === '/v1/status/leader') return answer(path, -1);
    questions += 1;
    return answer(path, questions - 1);
  });
  ends.push(() => agent.stop());
  return agent;
}

const health = (agent: ScriptedAgent) =>
  agent.asked.filter(({ path }) => path.startsWith('/v1/health'));

function start(
  settings: ConsulSettings,
  options: { factor?: number; sources?: ServiceSource[]; known?: () => Known } = {},
) {
  const {
    factor = 50,
    sources = [source('web')],
    known = () => ({ endpoints: [], isHeld: false }),
  } = options;
  const { log, lines } = keepingLogger();
  const provider = new ConsulProvider({
    ...consulDoors,
    known,
    guard: guardSettings,
    settings,
    clock: fastClock(factor),
    random: () => 0.5,
    log,
  });
  ends.push(() => provider.stop());
  const receiver = new Receiver();
  provider.follow(sources);
  provider.start(receiver.take);
  return { provider, receiver, lines };
}

const instance = (id: string) => [
  { Node: { Node: 'n', Address: '10.0.0.1' }, Service: { ID: id, Port: 80 }, Checks: [] },
];

describe('several agents', () => {
  it('are asked in their order, and the first again when it is back', async () => {
    let isDown = true;
    const first = await agentWith((path) => {
      if (isDown) return { status: 500, index: 1, body: 'No cluster leader' };
      if (path === '/v1/status/leader') return { body: '10.0.0.1:8300' };
      return { index: 90, body: instance('of-first') };
    });
    const second = await agentWith((_, n) =>
      n % 2 === 0 ? { index: 70 + n, body: instance('of-second') } : null,
    );
    const run = start(consulSettings([first.url, second.url], { waitMs: 20_000 }));
    await run.receiver.until(() => run.receiver.ids('web').includes('n/of-second'), 'fail-over');
    expect(run.provider.status()).toMatchObject({ address: second.url, isSynced: true });

    isDown = false;
    await run.receiver.until(() => run.receiver.ids('web').includes('n/of-first'), 'return');
    expect(run.provider.status().address).toBe(first.url);
    // The index of another agent is none of this one's business, and its answer is doubtful.
    expect(health(first).at(-1)!.query.get('index')).not.toBe('70');
    expect(run.receiver.last('web')!.service.doubt).not.toBe('');
  });

  it('are left one by one, however many questions fail on one at once', async () => {
    const [first, second, third] = await Promise.all([
      agentWith(() => ({ status: 500 })),
      agentWith((_, n) => ({ index: 5 + n, body: [] })),
      agentWith((_, n) => ({ index: 5 + n, body: [] })),
    ]);
    const sources = Array.from({ length: 20 }, (_, i) => source(`s${i}`));
    const settings = consulSettings([first!.url, second!.url, third!.url]);
    const { provider } = start(settings, { sources, factor: 1 });
    await untilTrue(
      () => provider.status().isSynced,
      () => JSON.stringify(provider.status()),
    );
    expect(provider.status().address).toBe(second!.url);
    expect(third!.asked).toEqual([]);
  });

  it('are not left because a question is refused', async () => {
    const first = await agentWith(() => ({ status: 400, body: 'bad filter' }));
    const second = await agentWith((_, n) => ({ index: 5 + n, body: [] }));
    const run = start(consulSettings([first.url, second.url]));
    await untilTrue(
      () => run.provider.status().errors >= 2,
      () => 'errors',
    );
    expect(run.provider.status()).toMatchObject({ address: first.url, isSynced: false });
    expect(run.provider.status().lastError).toContain('bad filter');
    expect(second.asked).toEqual([]);
  });
});

describe('the token', () => {
  it.each([
    ['/dev/zero', 'is a device'],
    ['/proc', 'is a directory'],
  ])('is not read from %s', async (tokenFile, why) => {
    const agent = await agentWith(() => null);
    const { provider } = start(consulSettings(agent.url, { tokenFile }));
    await untilTrue(
      () => provider.status().lastError !== '',
      () => 'no error',
    );
    expect(provider.status().lastError).toContain(`token_file ${tokenFile}: ${tokenFile} ${why}`);
    expect(agent.asked).toEqual([]);
  });

  it('is read again when its file changes, and the open question is asked anew', async () => {
    const file = join(folder, 'token');
    writeFileSync(file, 'first\n');
    const agent = await agentWith((_, n) => (n === 1 ? null : { index: 5, body: [] }));
    start(consulSettings(agent.url, { tokenFile: file }));
    await untilTrue(
      () => health(agent).length >= 2,
      () => 'two questions',
    );
    expect(health(agent).map(({ token }) => token)).toEqual(['first', 'first']);
    writeFileSync(`${file}.new`, 'second\n');
    renameSync(`${file}.new`, file);
    await untilTrue(
      () => health(agent).length >= 3,
      () => 'a third question',
    );
    expect(health(agent)[2]).toMatchObject({ token: 'second' });
    expect(health(agent)[2]!.query.has('index')).toBe(false);
  });

  it('stays as it was while its file is away', async () => {
    const file = join(folder, 'token');
    writeFileSync(file, 'first');
    const agent = await agentWith((_, n) => ({ index: 5 + n, body: [] }));
    start(consulSettings(agent.url, { tokenFile: file }));
    await untilTrue(
      () => health(agent).length >= 2,
      () => 'questions',
    );
    rmSync(file);
    const before = health(agent).length;
    await untilTrue(
      () => health(agent).length >= before + 5,
      () => 'more questions',
    );
    expect(new Set(health(agent).map(({ token }) => token))).toEqual(new Set(['first']));
  });

  it('whose file was never there is an error that names the file', async () => {
    const agent = await agentWith(() => ({ index: 5, body: [] }));
    const run = start(consulSettings(agent.url, { tokenFile: join(folder, 'none') }));
    await untilTrue(
      () => run.provider.status().errors > 0,
      () => 'an error',
    );
    expect(run.provider.status().lastError).toContain(join(folder, 'none'));
    expect(health(agent)).toEqual([]);
  });
});

describe('parameters', () => {
  it('of settings and source are sent, those of the source first', async () => {
    const agent = await agentWith(() => null);
    start(consulSettings(agent.url, { datacenter: 'dc1', namespace: 'a', stale: false }), {
      sources: [source('web/1', { tag: 'v2', datacenter: 'dc2', filter: 'Service.Port == 80' })],
    });
    await untilTrue(
      () => health(agent).length > 0,
      () => 'a question',
    );
    const { path, query } = health(agent)[0]!;
    expect(path).toBe('/v1/health/service/web%2F1');
    expect(Object.fromEntries(query)).toEqual({
      dc: 'dc2',
      ns: 'a',
      tag: 'v2',
      filter: 'Service.Port == 80',
    });
  });

  it('unix:///path is an agent too', async () => {
    const path = join(folder, 'consul.sock');
    const server = createServer((_, response) => {
      response.setHeader('x-consul-index', '5');
      response.end(JSON.stringify(instance('by-socket')));
    }).listen(path);
    ends.push(() => void server.close());
    ends.push(() => server.closeAllConnections());
    const run = start(consulSettings(`unix://${path}`), { factor: 1 });
    await run.receiver.until(() => run.receiver.ids('web').includes('n/by-socket'), 'by socket');
  });
});

describe('updates', () => {
  it('are none where a thousand wakes say the same', async () => {
    // The same two instances, in an order that changes.
    const two = [...instance('a'), ...instance('b')];
    const agent = await agentWith((_, n) => ({
      index: n + 1,
      body: n % 2 === 0 ? two : two.toReversed(),
    }));
    const run = start(consulSettings(agent.url), { factor: 5000 });
    await untilTrue(
      () => health(agent).length >= 1000,
      () => 'a thousand wakes',
    );
    expect(run.receiver.all).toHaveLength(1);
    expect(run.receiver.ids('web')).toEqual(['n/a', 'n/b']);
  });

  it('keep the sync age true: a renewed wait counts', async () => {
    const agent = await agentWith((_, n) => (n < 20 ? { index: 5, body: [] } : null));
    const run = start(consulSettings(agent.url), { factor: 1 });
    await untilTrue(
      () => run.provider.status().isSynced,
      () => 'sync',
    );
    const first = run.provider.status().lastSyncMs;
    await untilTrue(
      () => run.provider.status().lastSyncMs > first,
      () => 'a later sync',
    );
    expect(run.receiver.all).toHaveLength(1);
  });

  it('of a new provider are confirmed where they leave out most of what is served', async () => {
    const agent = await startScriptedAgent(({ path, query }) => {
      if (!path.startsWith('/v1/health')) return { status: 404 };
      if (query.has('consistent')) return { index: 7, body: instance('a') };
      return query.has('index') ? null : { index: 7, body: [] };
    });
    ends.push(() => agent.stop());
    const served = [{ id: 'n/a', address: '10.0.0.1' }] as unknown as Endpoint[];
    // In real time: a second read is not waited for long.
    const known = () => ({ endpoints: served, isHeld: false });
    const run = start(consulSettings(agent.url), { factor: 1, known });
    await run.receiver.until(() => run.receiver.about('web').length > 0, 'first update');
    expect(run.receiver.ids('web')).toEqual(['n/a']);
    expect(run.provider.status().secondReads).toMatchObject({ contradicted: 1 });
  });

  it('of a new provider end nothing that is held for want of a registry that knows', async () => {
    const agent = await startScriptedAgent(({ path, query }) => {
      if (!path.startsWith('/v1/health')) return { status: 404 };
      return query.has('index') ? null : { index: 7, body: [] };
    });
    ends.push(() => agent.stop());
    const served = [{ id: 'n/a', address: '10.0.0.1' }] as unknown as Endpoint[];
    const known = () => ({ endpoints: served, isHeld: true });
    const run = start(consulSettings(agent.url), { factor: 1, known });
    await run.receiver.until(() => run.receiver.about('web').length > 0, 'first update');
    const { doubt, isConfirmed } = run.receiver.last('web')!.service;
    expect(doubt).toBe('first answer while endpoints are held');
    expect(isConfirmed).toBeUndefined();
  });

  it('end nothing that is served where a connection broke before them: the agent may be new', async () => {
    let hasBroken = false;
    const agent = await startScriptedAgent(({ path, query }) => {
      if (!path.startsWith('/v1/health')) return { status: 404 };
      if (path.endsWith('/other')) {
        hasBroken = true;
        return { index: 7, body: instance('x'), isCut: true };
      }
      return query.has('index') ? null : { index: 7, body: [] };
    });
    ends.push(() => agent.stop());
    const served = [{ id: 'n/a', address: '10.0.0.1' }] as unknown as Endpoint[];
    const known = () => ({ endpoints: served, isHeld: false });
    const run = start(consulSettings(agent.url), { factor: 1, known, sources: [source('other')] });
    await untilTrue(
      () => hasBroken && run.provider.status().errors > 0,
      () => 'a broken connection',
    );
    run.provider.follow([source('other'), source('web')]);
    await run.receiver.until(() => run.receiver.about('web').length > 0, 'first update');
    expect(run.receiver.last('web')!.service.doubt).not.toBe('');
  });

  it('stop when the provider stops, and a source that is not wanted ends with a remove', async () => {
    const agent = await agentWith((_, n) => ({ index: n + 1, body: instance(`i${n}`) }));
    const run = start(consulSettings(agent.url));
    await run.receiver.until(() => run.receiver.all.length >= 2, 'updates');
    run.provider.follow([]);
    expect(run.receiver.all.at(-1)!.update.kind).toBe('remove');
    const count = run.receiver.all.length;
    await run.provider.stop();
    expect(run.receiver.all).toHaveLength(count);
  });

  it('say once that the registry fails, and once that it answers again', async () => {
    let isDown = false;
    const agent = await agentWith((_, n) =>
      isDown ? { status: 500 } : { index: n + 1, body: [] },
    );
    const run = start(consulSettings(agent.url), { sources: [source('a'), source('b')] });
    await untilTrue(
      () => run.provider.status().isSynced,
      () => 'sync',
    );
    isDown = true;
    await untilTrue(
      () => run.provider.status().errors >= 5,
      () => 'errors',
    );
    expect(run.provider.status().lastError).toContain('answered 500');
    isDown = false;
    await untilTrue(
      () => run.provider.status().lastError === '',
      () => 'recovery',
    );
    const said = run.lines.filter(({ level }) => level !== 'debug');
    expect(said.map(({ level }) => level)).toEqual(['warn', 'info']);
  });
});
