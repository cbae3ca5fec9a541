// Services whose instances are keys in Consul's KV store, of an agent that the test writes.
import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { ConsulProvider } from '../../../src/discovery/consul/provider.ts';
import {
  consulDoors,
  consulSettings,
  guardSettings,
  keepingLogger,
  type Receiver,
  source,
  startSynced,
} from '../../support/discovery.ts';
import {
  type Scripted,
  type ScriptedAgent,
  startScriptedAgent,
} from '../../support/scripted-agent.ts';

let agent: ScriptedAgent | null = null;
let provider: ConsulProvider | null = null;
afterEach(async () => {
  await provider?.stop();
  await agent?.stop();
});

const pair = (Key: string, value: string) => ({ Key, Value: btoa(value), CreateIndex: 5 });

/** Follows `web` below `services`, whose keys are answered one after the other; then it waits. */
async function follow(answers: Scripted[], service = 'web'): Promise<Receiver> {
  agent = await startScriptedAgent(({ path }) =>
    path.startsWith('/v1/kv/') ? (answers.shift() ?? null) : { status: 401 },
  );
  provider = new ConsulProvider({
    ...consulDoors,
    guard: guardSettings,
    settings: consulSettings(agent.url),
    clock: systemClock,
    random: () => 0,
    log: keepingLogger().log,
  });
  provider.follow([source(service, { kv: 'services' })]);
  return startSynced(provider);
}

it('follows what Registrator writes', async () => {
  const receiver = await follow([
    { status: 404, index: 3 },
    { index: 7, body: [pair('services/web/host:web_1:80', '10.0.0.1:49153')] },
    {
      index: 9,
      body: [
        pair('services/web/host:web_1:80', '10.0.0.1:49153'),
        pair('services/web/host:web_2:80', '[fd00::1]:8001'),
        pair('services/web/bad', 'nonsense'),
        pair('services/web/deep/er', '10.0.0.9:1'),
        pair('services/web/port', '8000'),
        { Key: 'services/web/none', Value: null },
        { Key: 5 },
      ],
    },
  ]);
  await receiver.until(() => receiver.ids('web').length === 2, 'both');
  expect(receiver.all).toHaveLength(3);
  expect(agent!.asked.map(({ path }) => path)).toContain('/v1/kv/services/web/');
  const { endpoints, problems, settings, doubt } = receiver.last('web')!.service;
  expect(endpoints.map(({ id, address, port }) => [id, address, port])).toEqual([
    ['host:web_1:80', '10.0.0.1', 49_153],
    ['host:web_2:80', 'fd00::1', 8001],
  ]);
  expect(problems).toEqual([expect.stringContaining("key 'bad': 'nonsense'")]);
  // A key does not open a listener here.
  expect([settings, doubt]).toEqual([null, '']);
});

it('doubts what is missing after an outage', async () => {
  const receiver = await follow([
    { index: 7, body: [pair('services/web/a', '10.0.0.1:80')] },
    { status: 500, body: 'no leader' },
    { index: 7, body: [] },
    { index: 8, body: [] },
  ]);
  await receiver.until(() => receiver.ids('web').length === 0, 'none');
  const doubts = receiver
    .about('web')
    .map(({ update }) => (update.kind === 'upsert' ? update.service.doubt : ''));
  expect(doubts[1]).toContain('first answer after an outage');
  await receiver.until(() => receiver.last('web')?.service.doubt === '', 'no doubt');
});

it('says of a name that would be another path that it can not be asked for', async () => {
  const receiver = await follow([], '../secrets');
  expect(receiver.last('../secrets')?.service.problems).toEqual([
    "Consul can't be asked for the keys of 'services/../secrets'",
  ]);
  expect(agent!.asked.some(({ path }) => path.startsWith('/v1/kv'))).toBe(false);
});
