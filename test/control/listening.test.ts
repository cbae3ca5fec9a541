import { describe, expect, it } from 'vitest';
import { Listening } from '../../src/control/listening.ts';
import { formatListen, type ListenError } from '../../src/model/listener.ts';
import type { Settings } from '../../src/model/settings.ts';
import { onlySource, plainSource } from '../../src/model/source.ts';
import { ManualClock } from '../support/clock.ts';
import { settingsOf } from '../support/config.ts';
import { keepingLogger } from '../support/discovery.ts';
import { makeService, plainListen } from '../support/service.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));
const settings: Settings = settingsOf({ file: 'registries: { consul: {} }' });
const web = makeService({
  name: 'web',
  from: onlySource(plainSource('consul', 'web')),
  listen: [plainListen({ kind: 'tcp', host: '', port: 8000 })],
});

function make() {
  const clock = new ManualClock();
  const { log, lines } = keepingLogger();
  const holders = new Map<string, string>();
  let changes = 0;
  const listening = new Listening({
    clock,
    log,
    probe: (address) => Promise.resolve(holders.get(formatListen(address)) ?? ''),
    onChange: () => {
      changes += 1;
    },
  });
  const plan = (kind: 'configured' | 'described' | '') => {
    const wanting = { configured: [], described: [], ...(kind === '' ? {} : { [kind]: [web] }) };
    return listening.plan(settings, wanting).map(({ key }) => key);
  };
  return { listening, clock, lines, holders, plan, changes: () => changes };
}

const taken: ListenError = { listener: ':8000', service: 'web', code: 'EADDRINUSE', message: 'no' };

describe('a listener of a service that describes itself', () => {
  it('is planned once nobody else has its address', async () => {
    const { plan, listening, changes } = make();
    expect(plan('described')).toEqual([]);
    expect(listening.isLooking).toBe(true);
    await turn();
    expect([listening.isLooking, changes()]).toEqual([false, 1]);
    expect(plan('described')).toEqual([':8000']);
  });

  it('stays open when it was configured before', () => {
    const { plan, listening } = make();
    expect(plan('configured')).toEqual([':8000']);
    expect(plan('described')).toEqual([':8000']);
    expect(listening.isLooking).toBe(false);
  });

  it('is given up where another process turns out to have it, and comes back', async () => {
    const { plan, listening, holders, clock, lines } = make();
    plan('described');
    await turn();
    plan('described');
    holders.set(':8000', 'another process');
    listening.onErrors([taken]);
    listening.onErrors([taken]);
    expect(listening.problemsOf('web')).toEqual(['no']);
    clock.advance(1000);
    await turn();
    expect(plan('described')).toEqual([]);
    listening.onErrors([]);
    expect(listening.problemsOf('web')).toEqual(['listener :8000 is taken by another process']);
    expect(plan('described')).toEqual([]);
    expect(lines.map(({ message }) => message)).toEqual([
      'no',
      'listener :8000 is taken by another process',
    ]);
    holders.clear();
    clock.advance(1000);
    await turn();
    expect(plan('described')).toEqual([':8000']);
    expect(listening.problemsOf('web')).toEqual([]);
    listening.close();
    expect(clock.waiting).toBe(0);
  });
});
