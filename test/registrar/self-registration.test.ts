// How a process keeps itself in the catalog, on an agent that the test scripts.
import { afterEach, describe, expect, it } from 'vitest';
import { BOUNDS } from '../../src/model/bounds.ts';
import type { SelfSettings } from '../../src/model/registries/consul-self.ts';
import type { PoolRequest } from '../../src/reach/http-pools.ts';
import { ConsulApi } from '../../src/registrar/consul-api.ts';
import { type SelfFacts, SelfRegistration } from '../../src/registrar/self-registration.ts';
import { ManualClock } from '../support/clock.ts';
import { keepingLogger } from '../support/discovery.ts';

const SETTINGS: SelfSettings = {
  ...{ service: 'upriver', address: '', port: 0, tags: ['edge'], tagServices: true },
  ...{ check: 'http', checkIntervalMs: 5000, deregisterAfterMs: 1_800_000, leaveWaitMs: 5000 },
};

const running: SelfRegistration[] = [];
afterEach(() => {
  for (const one of running.splice(0)) void one.leave();
});

/** What the agent has, by id; as its API shows it. */
class Agent {
  readonly services = new Map<string, Record<string, unknown>>();
  readonly calls: string[] = [];
  isAway = false;

  answer({ method, path, body }: PoolRequest): { status: number; text: string } {
    if (this.isAway) throw new Error('connect ECONNREFUSED');
    const id = decodeURIComponent(path.split('/').at(-1)!);
    this.calls.push(`${method} ${path}`);
    if (path.endsWith('/register')) {
      const given = JSON.parse(body!) as Record<string, unknown>;
      this.services.set(String(given.ID), { ...given, Service: given.Name, Address: '' });
    } else if (path.includes('/deregister/')) this.services.delete(id);
    else if (method === 'GET') {
      const known = this.services.get(id);
      if (known === undefined) return { status: 404, text: `unknown service ID: ${id}` };
      return { status: 200, text: JSON.stringify(known) };
    }
    return { status: 200, text: '' };
  }

  /** Calls that write, since the last time this was asked for. */
  writes(): string[] {
    return this.calls.splice(0).filter((call) => call.startsWith('PUT'));
  }
}

function start(
  more: Partial<SelfSettings> = {},
  { agent = new Agent(), instance = 'one', isReady = true } = {},
) {
  const clock = new ManualClock();
  const { log, lines } = keepingLogger();
  const facts: { -readonly [K in keyof SelfFacts]: SelfFacts[K] } = {
    ...{ isReady, services: ['web', 'api'], port: 80 },
    stats: { host: '', port: 1936, isTls: false },
  };
  const api = new ConsulApi({
    ...{ address: 'http://a:8500', httpAuth: '', namespace: '', token: () => 'secret' },
    channel: () => ({
      get: () => Promise.reject(new Error('unused')),
      recycle: () => {},
      request: async (request) => {
        const { status, text } = agent.answer(request);
        const body = (async function* () {
          yield Buffer.from(text);
        })();
        return { status, headers: {}, body };
      },
    }),
    close: () => Promise.resolve(),
    setTimer: (ms, run) => clock.setTimer(ms, run),
  });
  const settings = { ...SETTINGS, ...more };
  const registration = new SelfRegistration({
    ...{ settings, api, clock, random: () => 0, log, hostname: 'h 1', version: '1.2.3' },
    ...{ tagPrefix: 'upriver', instance, facts: () => facts },
  });
  running.push(registration);
  registration.start();
  return { agent, clock, facts, lines, registration };
}

async function turn(): Promise<void> {
  for (let i = 0; i < 40; i += 1) await Promise.resolve();
}

const ID = 'upriver-h-1-1936';

describe('a process', () => {
  it('is registered once it is ready, with a tag for each service', async () => {
    const { agent, clock, facts } = start({}, { isReady: false });
    await turn();
    expect(agent.services.size).toBe(0);
    facts.isReady = true;
    clock.advance(5001);
    await turn();
    expect(agent.services.get(ID)).toMatchObject({
      ...{ Name: 'upriver', ID, Port: 80, Tags: ['api', 'edge', 'web'] },
      Meta: { 'external-source': 'upriver', version: '1.2.3', instance: 'one' },
      Check: {
        ...{ HTTP: 'http://127.0.0.1:1936/readyz', Interval: '5s', Status: 'passing' },
        DeregisterCriticalServiceAfter: '30m',
      },
    });
  });

  it('has so many tags and no more, and says so once', async () => {
    const { max } = BOUNDS.selfTags;
    const services = Array.from({ length: max + 5 }, (_, i) => `s${i}`);
    const { agent, clock, facts, lines } = start({}, { isReady: false });
    await turn();
    Object.assign(facts, { isReady: true, services });
    clock.advance(5001);
    await turn();
    expect((agent.services.get(ID) as { Tags: string[] }).Tags).toHaveLength(max);
    clock.advance(5001);
    await turn();
    const said = lines.filter(({ message }) => message.startsWith('more services than tags'));
    expect(said).toHaveLength(1);
  });

  it('is registered with what is configured', async () => {
    const { agent } = start({ address: '10.0.0.5', port: 8443, tagServices: false });
    await turn();
    expect(agent.services.get(ID)).toMatchObject({
      ...{ Port: 8443, Tags: ['edge'], Check: { HTTP: 'http://10.0.0.5:1936/readyz' } },
    });
  });

  it('tells the agent how it is where that can not ask', async () => {
    const { agent, clock, facts } = start({ check: 'ttl', checkIntervalMs: 9000 });
    await turn();
    expect(agent.services.get(ID)).toMatchObject({ Check: { TTL: '9s' } });
    expect(agent.writes().at(-1)).toBe(`PUT /v1/agent/check/pass/service:${ID}`);
    facts.isReady = false;
    clock.advance(3001);
    await turn();
    expect(agent.writes()).toEqual([`PUT /v1/agent/check/fail/service:${ID}`]);
  });

  it('has the tags of the services that there are, and no settings among them', async () => {
    const { agent, clock, facts } = start();
    await turn();
    agent.writes();
    facts.services = ['web', 'new', 'upriver.listen=80'];
    clock.advance(5001);
    await turn();
    expect(agent.services.get(ID)).toMatchObject({ Tags: ['edge', 'new', 'web'] });
    expect(agent.writes()).toEqual(['PUT /v1/agent/service/register']);
    clock.advance(5001);
    await turn();
    expect(agent.writes()).toEqual([]);
  });

  it('is registered again where the agent has forgotten it, and after an outage', async () => {
    const { agent, clock, lines } = start();
    await turn();
    agent.services.clear();
    clock.advance(5001);
    await turn();
    expect(agent.services.has(ID)).toBe(true);
    expect(lines.at(-1)?.message).toBe('registered in Consul again');
    agent.isAway = true;
    agent.services.clear();
    clock.advance(5001);
    await turn();
    clock.advance(5001);
    await turn();
    const warnings = lines.filter(({ level }) => level === 'warn');
    expect(warnings.map(({ message }) => message)).toEqual([
      expect.stringMatching(/can't register in Consul, retrying: .*ECONNREFUSED/),
    ]);
    agent.isAway = false;
    clock.advance(5001);
    await turn();
    expect(agent.services.has(ID)).toBe(true);
  });
});

describe('leaving', () => {
  it('takes the registration out, and waits for those who know of it', async () => {
    const { agent, clock, registration } = start();
    await turn();
    let hasLeft = false;
    const leaving = registration.leave().then(() => {
      hasLeft = true;
    });
    await turn();
    expect(agent.services.size).toBe(0);
    clock.advance(4999);
    await turn();
    expect(hasLeft).toBe(false);
    clock.advance(2);
    await leaving;
    // It does not come back.
    clock.advance(20_000);
    await turn();
    expect(agent.services.size).toBe(0);
  });

  it('waits for nothing where it was never registered', async () => {
    const agent = new Agent();
    agent.isAway = true;
    const { registration } = start({}, { agent });
    await turn();
    await registration.leave();
  });

  it('ends though the agent does not answer', async () => {
    const { agent, clock, registration, lines } = start();
    await turn();
    agent.isAway = true;
    const leaving = registration.leave();
    await turn();
    expect(lines.at(-1)?.message).toMatch(/can't leave the catalog/);
    clock.advance(5001);
    await leaving;
  });

  it('leaves alone who has taken its place', async () => {
    const { agent, clock, registration, lines } = start();
    await turn();
    start({}, { agent, instance: 'two' });
    await turn();
    clock.advance(5001);
    await turn();
    expect(lines.at(-1)?.message).toMatch(/another process has taken this place/);
    await registration.leave();
    expect(agent.services.get(ID)).toMatchObject({ Meta: { instance: 'two' } });
  });

  it('leaves alone who takes its place at the last moment', async () => {
    const { agent, registration } = start();
    await turn();
    start({}, { agent, instance: 'two' });
    await turn();
    await registration.leave();
    expect(agent.services.get(ID)).toMatchObject({ Meta: { instance: 'two' } });
  });
});

it('an answer that is longer than any is refused, and read no further', async () => {
  const piece = Buffer.alloc(2 ** 20, ' ');
  let pieces = 0;
  const api = new ConsulApi({
    ...{ address: 'http://a:8500', httpAuth: '', namespace: '', token: () => '' },
    channel: () => ({
      get: () => Promise.reject(new Error('unused')),
      recycle: () => {},
      request: async () => {
        const body = (async function* () {
          for (;;) {
            pieces += 1;
            yield piece;
          }
        })();
        return { status: 200, headers: {}, body };
      },
    }),
    close: () => Promise.resolve(),
    setTimer: () => ({ cancel: () => {} }),
  });
  const asked = api.json('/v1/agent/services', new AbortController().signal);
  await expect(asked).rejects.toThrow(/16MiB/);
  expect(pieces).toBe(BOUNDS.registryAnswer.max / piece.length + 1);
});
