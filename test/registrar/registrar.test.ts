// The registrar on a scripted engine and a registry in memory: what stands there in the end, whatever
// was away meanwhile.
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { servicesOf } from '../../src/containers/container-services.ts';
import { ContainerWatch } from '../../src/containers/container-watch.ts';
import { hasSocket, openEngine } from '../../src/containers/door.ts';
import { EngineClient } from '../../src/containers/engine-client.ts';
import { parseEngineAddress } from '../../src/model/engine-address.ts';
import { Registrar, type RegistrarOptions } from '../../src/registrar/registrar.ts';
import type { Registered, Registration, Registry } from '../../src/registrar/registry.ts';
import { type ContainerSpec, rules } from '../support/containers.ts';
import { keepingLogger, untilTrue } from '../support/discovery.ts';
import {
  event,
  idOf,
  type ScriptedEngine,
  startScriptedEngine,
} from '../support/scripted-engine.ts';

const stops: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

class MemoryRegistry implements Registry {
  readonly label = 'memory';
  readonly services = new Map<string, { name: string; at: string; suspended: string }>();
  readonly calls: string[] = [];
  /** Says what is wrong; '' for nothing. */
  fault: (call: string) => string = () => '';
  lost: string[] = [];

  unfit({ name }: Registration): string {
    return name === 'unfit' ? 'name: expected another' : '';
  }

  ping(): Promise<void> {
    return Promise.resolve();
  }

  async register({ id, name, ip, port }: Registration): Promise<void> {
    this.note(`register ${id}`);
    this.services.set(id, { name, at: `${ip}:${port}`, suspended: '' });
  }

  async deregister({ id }: Pick<Registration, 'id' | 'name'>): Promise<void> {
    this.note(`deregister ${id}`);
    this.services.delete(id);
  }

  async suspend({ id }: Registration, reason: string): Promise<void> {
    this.note(`suspend ${id}`);
    const there = this.services.get(id);
    if (there !== undefined) there.suspended = reason;
  }

  async refresh(services: readonly Registration[]): Promise<readonly string[]> {
    this.note(`refresh ${services.map(({ id }) => id).join()}`);
    return this.lost.splice(0);
  }

  async list(): Promise<Registered[]> {
    if (this.fault('list') !== '') throw new Error(this.fault('list'));
    return [...this.services].map(([id, { name, suspended }]) => {
      return { id, name, isSuspended: suspended !== '' };
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** `id suspended`. */
  get state(): string[] {
    return [...this.services].map(([id, { suspended }]) => `${id} ${suspended}`.trim()).sort();
  }

  private note(call: string): void {
    this.calls.push(call);
    const fault = this.fault(call);
    if (fault !== '') throw new Error(fault);
  }
}

const [A, B] = [idOf(1), idOf(2)];
const web: ContainerSpec = { name: 'w1', image: 'web', published: { '80/tcp': '1001' } };

async function started(
  containers: Readonly<Record<string, ContainerSpec>>,
  more: Partial<RegistrarOptions> = {},
  prepare: (registry: MemoryRegistry) => void = () => {},
) {
  const engine = await startScriptedEngine();
  stops.push(() => engine.stop());
  for (const [id, spec] of Object.entries(containers)) engine.containers.set(id, spec);
  const registry = new MemoryRegistry();
  prepare(registry);
  const { log, lines } = keepingLogger();
  const client = new EngineClient({
    addresses: [parseEngineAddress(engine.socket)],
    tls: { caFile: '', certFile: '', keyFile: '', serverName: '', verify: true },
    ...{ clock: systemClock, open: openEngine, hasSocket },
  });
  const random = (): number => 0;
  const registrar = new Registrar({
    ...{ registry, clock: systemClock, random, log, hostname: 'hostname' },
    servicesOf: ({ container }) => servicesOf(container, rules()),
    exists: async (id, signal) => (await client.inspect(id, signal)) !== null,
    ...{ deregister: 'always', isCleaning: false, resyncMs: 0, refreshMs: 0, leavesOnExit: false },
    ...more,
  });
  let syncs = 0;
  const watch = new ContainerWatch({
    ...{ client, clock: systemClock, random },
    onChange: (change) => registrar.onChange(change),
    onSynced: () => {
      syncs += 1;
      registrar.onSynced();
    },
    onError: () => {},
  });
  registrar.start(watch);
  watch.start();
  let isStopped = false;
  const stop = async (): Promise<void> => {
    if (isStopped) return;
    isStopped = true;
    watch.stop();
    await registrar.stop();
    await client.close();
  };
  stops.push(stop);
  await untilTrue(
    () => syncs > 0 && engine.subscribers === 1,
    () => 'synced',
  );
  return { engine, registry, lines, stop, syncs: () => syncs };
}

function change(
  engine: ScriptedEngine,
  id: string,
  spec: ContainerSpec,
  action: string,
  more = {},
) {
  engine.containers.set(id, spec);
  engine.tell(event(id, action, more));
}

const until = (registry: MemoryRegistry, ...state: string[]) =>
  untilTrue(
    () => registry.state.join() === state.join(),
    () => `${registry.state.join()} is not ${state.join()}; ${registry.calls.join()}`,
  );

const W1 = 'hostname:w1:80';
const W2 = 'hostname:w2:80';

describe('a container', () => {
  it('is registered while it runs', async () => {
    const { engine, registry } = await started({ [A]: web });
    await until(registry, W1);
    expect(registry.services.get(W1)).toMatchObject({ name: 'web', at: '192.168.1.102:1001' });
    change(engine, B, { ...web, name: 'w2' }, 'start');
    await until(registry, W1, W2);
    change(engine, A, { ...web, status: 'exited' }, 'die', { exitCode: '1' });
    await until(registry, W2);
  });

  it('waits for its health check, and is out of service while that is bad', async () => {
    const { engine, registry } = await started({ [A]: { ...web, health: 'starting' } });
    change(engine, B, { ...web, name: 'w2' }, 'start');
    await until(registry, W2);
    change(engine, A, { ...web, health: 'healthy' }, 'health_status: healthy');
    await until(registry, W1, W2);
    change(engine, A, { ...web, health: 'unhealthy' }, 'health_status: unhealthy');
    await until(registry, `${W1} unhealthy`, W2);
    change(engine, A, { ...web, health: 'healthy' }, 'health_status: healthy');
    await until(registry, W1, W2);
  });

  it('is out of service from the signal to stop to its end, and while it is paused', async () => {
    const { engine, registry } = await started({ [A]: web });
    await until(registry, W1);
    change(engine, A, { ...web, status: 'paused' }, 'pause');
    await until(registry, `${W1} paused`);
    change(engine, A, web, 'unpause');
    await until(registry, W1);
    engine.tell(event(A, 'kill', { signal: '15' }));
    await until(registry, `${W1} stopping: signal 15`);
    change(engine, A, { ...web, status: 'exited' }, 'die', { exitCode: '143' });
    await until(registry);
  });

  it('that never was in service is not registered to be taken out', async () => {
    const { engine, registry } = await started({ [A]: { ...web, health: 'unhealthy' } });
    change(engine, B, { ...web, name: 'w2' }, 'start');
    await until(registry, W2);
    expect(registry.calls).toEqual([`register ${W2}`]);
  });

  it('that failed stays with on-success, until it runs again or is removed', async () => {
    const { engine, registry } = await started({ [A]: web }, { deregister: 'on-success' });
    await until(registry, W1);
    change(engine, A, { ...web, status: 'exited' }, 'die', { exitCode: '1' });
    change(engine, B, { ...web, name: 'w2' }, 'start');
    await until(registry, W1, W2);
    const again = { ...web, startedAt: '2026-11-21T18:50:53Z' };
    change(engine, A, again, 'start');
    await untilTrue(
      () => registry.calls.filter((call) => call === `register ${W1}`).length === 2,
      () => registry.calls.join(),
    );
    change(engine, A, { ...again, status: 'exited' }, 'die', { exitCode: '2' });
    change(engine, B, { ...web, name: 'w2', status: 'exited' }, 'die', { exitCode: '0' });
    await until(registry, W1);
    engine.containers.delete(A);
    engine.tell(event(A, 'destroy'));
    await until(registry);
  });

  it('that failed and was removed while the engine was away goes too', async () => {
    const { engine, registry } = await started({ [A]: web }, { deregister: 'on-success' });
    await until(registry, W1);
    change(engine, A, { ...web, status: 'exited' }, 'die', { exitCode: '1' });
    await untilTrue(
      () => engine.asked.filter((path) => path.includes(A)).length > 1,
      () => 'looked',
    );
    engine.containers.delete(A);
    engine.cut();
    await until(registry);
  });

  it('that wants an id that another has waits for it', async () => {
    const env = ['SERVICE_ID=one'];
    const containers = { [A]: { ...web, env }, [B]: { ...web, name: 'w2', env } };
    const { engine, registry, lines } = await started(containers);
    await until(registry, 'one');
    expect(lines.some(({ message }) => message.includes('two containers want one id'))).toBe(true);
    const first = lines.find(({ message }) => message.includes('two containers'))!.fields
      .containers;
    const [holder] = first as string[];
    change(engine, holder!, { ...web, status: 'exited' }, 'die', { exitCode: '0' });
    await untilTrue(
      () => registry.calls.filter((call) => call === 'register one').length === 2,
      () => 'again',
    );
    expect(registry.state).toEqual(['one']);
  });
});

describe('a registry', () => {
  it('that refuses for a while has everything in the end, and is told of once', async () => {
    const { engine, registry, lines } = await started({ [A]: web }, {}, (one) => {
      one.fault = (call) => (call.startsWith('register') ? 'no leader' : '');
    });
    change(engine, B, { ...web, name: 'w2' }, 'start');
    await untilTrue(
      () => registry.calls.length > 3,
      () => 'tried again',
    );
    registry.fault = () => '';
    await until(registry, W1, W2);
    const told = lines.filter(({ message }) => message.includes('no leader'));
    expect(told).toHaveLength(1);
    expect(lines.some(({ message }) => message === 'the registry answers again')).toBe(true);
  });

  it('that refuses one container for itself says so once, whatever else goes well', async () => {
    const bad = { ...web, name: 'bad' };
    const { engine, registry, lines } = await started({ [A]: bad }, {}, (one) => {
      one.fault = (call) => (call.startsWith('register hostname:bad') ? 'bad check' : '');
    });
    await untilTrue(
      () => registry.calls.length > 1,
      () => 'tried again',
    );
    change(engine, B, web, 'start');
    await until(registry, W1);
    const before = registry.calls.length;
    await untilTrue(
      () => registry.calls.length > before + 1,
      () => 'tried on',
    );
    const told = lines.map(({ message }) => message).filter((text) => /bad check|again/.test(text));
    expect(told).toEqual(['registration failed, retrying: bad check']);
  });

  it('that could not be told of an end is told of it later', async () => {
    const { engine, registry } = await started({ [A]: web });
    await until(registry, W1);
    registry.fault = () => 'away';
    change(engine, A, { ...web, status: 'exited' }, 'die', { exitCode: '0' });
    await untilTrue(
      () => registry.calls.filter((one) => one.startsWith('dereg')).length > 1,
      () => 'tried',
    );
    registry.fault = () => '';
    await until(registry);
  });

  it('is refreshed, and has what it lost registered again', async () => {
    const { registry } = await started({ [A]: web }, { refreshMs: 20 });
    await until(registry, W1);
    await untilTrue(
      () => registry.calls.filter((one) => one === `refresh ${W1}`).length > 1,
      () => 'refreshed',
    );
    expect(registry.calls.filter((one) => one === `register ${W1}`)).toHaveLength(1);
    registry.services.clear();
    registry.lost = [W1];
    await until(registry, W1);
  });

  it('has everything registered again at each resync', async () => {
    const { registry } = await started({ [A]: web }, { resyncMs: 30 });
    await untilTrue(
      () => registry.calls.filter((one) => one === `register ${W1}`).length > 2,
      () => 'resync',
    );
  });
});

describe('what stands there before', () => {
  const there = (registry: MemoryRegistry) => {
    for (const id of [
      W1,
      'hostname:ghost:80',
      'hostname:ghost:53:udp',
      'other:ghost:80',
      'custom',
    ]) {
      registry.services.set(id, { name: 'web', at: '', suspended: '' });
    }
  };

  it('of this host and no container goes with -cleanup, and nothing else does', async () => {
    const { registry } = await started({ [A]: web }, { isCleaning: true }, there);
    await until(registry, 'custom', W1, 'other:ghost:80');
  });

  it('stays without', async () => {
    const { registry } = await started({ [A]: web }, {}, there);
    await untilTrue(
      () => registry.calls.includes(`register ${W1}`),
      () => 'registered',
    );
    expect(registry.services.size).toBe(5);
  });

  it('is cleaned when the registry can be listed at last', async () => {
    const { registry } = await started({ [A]: web }, { isCleaning: true }, (one) => {
      there(one);
      one.fault = (call) => (call === 'list' ? 'away' : '');
    });
    await untilTrue(
      () => registry.calls.includes(`register ${W1}`),
      () => 'registered',
    );
    registry.fault = () => '';
    await until(registry, 'custom', W1, 'other:ghost:80');
  });

  it('is put in service again where an earlier life had taken it out', async () => {
    const { registry } = await started({ [A]: web }, {}, (one) => {
      one.services.set(W1, { name: 'web', at: '', suspended: 'paused' });
    });
    await until(registry, W1);
  });

  it('of a container that waits for its health check is left as it is', async () => {
    const starting = { ...web, health: 'starting' };
    const { registry, engine } = await started({ [A]: starting }, { isCleaning: true }, there);
    change(engine, B, { ...web, name: 'w2' }, 'start');
    await until(registry, 'custom', W1, W2, 'other:ghost:80');
    expect(registry.calls).not.toContain(`register ${W1}`);
  });
});

describe('the end', () => {
  it('leaves everything where it is', async () => {
    const { registry, stop } = await started({ [A]: web });
    await until(registry, W1);
    await stop();
    expect(registry.state).toEqual([W1]);
  });

  it('deregisters everything where that is wanted', async () => {
    const { registry, stop } = await started({ [A]: web }, { leavesOnExit: true });
    await until(registry, W1);
    await stop();
    expect(registry.state).toEqual([]);
  });
});

it('a service that the registry can not have is left out and logged once, the others stay', async () => {
  const unfit = { ...web, name: 'w2', image: 'unfit' };
  const { registry, engine, lines } = await started({ [A]: web, [B]: unfit });
  await until(registry, W1);
  change(engine, B, { ...unfit, env: ['X=1'] }, 'update');
  change(engine, A, { ...web, published: { '80/tcp': '1009' } }, 'update');
  await untilTrue(
    () => registry.services.get(W1)?.at.endsWith(':1009') === true,
    () => 'the other one is registered again',
  );
  expect(registry.state).toEqual([W1]);
  expect(lines.filter(({ message }) => message.startsWith('not registered'))).toHaveLength(1);
});
