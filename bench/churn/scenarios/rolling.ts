// Ten endpoints are replaced one by one: the new one is registered, the old one deregistered and,
// a second later, ended with SIGTERM. Two steps overlap, so that all ten take few seconds.
import type { EndpointProcess } from '../../../test/support/endpoint.ts';
import { launch } from '../endpoints.ts';
import { measure, type Scenario, sleep } from '../scenario.ts';

const COUNT = 10;
/** Between "no new work" and SIGTERM, as most deploys have it. */
const PAUSE_MS = 1000;
const STEP_MS = 500;

export const rolling: Scenario = {
  name: 'rolling',
  title: 'rolling deploy of 10',
  goals: { failed: 0 },
  async prepare(stage) {
    const olds: EndpointProcess[] = [];
    for (let i = 0; i < COUNT; i += 1) olds.push(await launch(stage, `old-${i}`, false));
    return async () => {
      const load = await measure(stage);
      load.mark();
      const endings = [];
      for (const [i, old] of olds.entries()) {
        await launch(stage, `new-${i}`, false);
        await stage.consul.deregister(old.id);
        endings.push(sleep(PAUSE_MS).then(() => old.terminate()));
        await sleep(STEP_MS);
      }
      // Idle keep-alive connections of a proxy may hold an old endpoint open: they are not awaited.
      await Promise.race([Promise.all(endings), sleep(3 * PAUSE_MS)]);
      return load.end();
    };
  },
};
