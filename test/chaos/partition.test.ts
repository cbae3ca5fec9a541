// Links that are cut without a word: packets are lost, nobody is told. In network namespaces that
// the tests make, so they need root.
import { afterEach, describe, expect, it } from 'vitest';
import { hasConsul } from '../support/consul.ts';
import { startEndpoint } from '../support/endpoint.ts';
import { hasNamespaces, makeNamespace } from '../support/namespace.ts';
import { clearStage, deferred, RATE, setStage } from '../support/stage.ts';

afterEach(clearStage);

async function namespace() {
  const made = await makeNamespace();
  deferred(() => made.remove());
  return made;
}

describe.skipIf(!hasConsul || !hasNamespaces)('a cut link', () => {
  // Must not fail: GETs, also those that were on the endpoint: its check finds it within seconds.
  it('to one of three endpoints loses nothing, and it is used again afterwards', async () => {
    const far = await namespace();
    const stage = await setStage({ endpoints: 2 });
    const { consul, gets, upriver } = stage;
    const remote = await startEndpoint('remote', 0, far);
    deferred(() => remote.kill());
    await consul.register({ Name: 'web', ID: 'remote', Address: far.address, Port: remote.port });
    await stage.untilState('remote', 'up');
    await gets.next(RATE);
    await far.cut();
    await stage.untilState('remote', 'down');
    await gets.next(RATE);
    await far.mend();
    await stage.untilState('remote', 'up');
    const { requests } = await stage.figures('remote');
    await gets.next(RATE);
    expect((await stage.figures('remote')).requests).toBeGreaterThan(requests);
    const { failures } = await gets.stop();
    expect(failures, upriver.output()).toEqual([]);
  });

  // Must not fail: anything, though an endpoint leaves meanwhile and another one dies. What was said
  // behind the cut arrives when it is mended.
  it('to the agent loses nothing, and what happened behind it arrives afterwards', async () => {
    const far = await namespace();
    const stage = await setStage({ where: far });
    const { endpoints, gets, upriver, consul } = stage;
    await far.cut();
    const path = `${consul.url}/v1/agent/service/deregister/e1`;
    await far.run(process.execPath, ['-e', `await fetch('${path}', { method: 'PUT' })`]);
    await endpoints[0]!.kill();
    await stage.untilState('e0', 'down');
    await gets.next(RATE);
    // Nobody could tell of it.
    expect((await stage.figures('e1')).state).toBe('up');
    await far.mend();
    await expect.poll(() => stage.figures('e1').catch(() => null)).toBeNull();
    const late = await stage.start('late');
    await stage.register(late);
    await stage.untilState('late', 'up');
    const { failures } = await gets.stop();
    expect(failures, upriver.output()).toEqual([]);
  });
});
