// Consul is killed, stays away for ten seconds, comes back without a single registration, and gets
// them back three seconds later. The endpoints work all the time.
import { serve } from '../endpoints.ts';
import { measure, type Scenario, sleep } from '../scenario.ts';

const AWAY_MS = 10_000;
const EMPTY_MS = 3000;
const AFTER_MS = 1000;

export const outage: Scenario = {
  name: 'outage',
  title: 'registry away for 10 s, back empty',
  goals: { failed: 0 },
  async prepare(stage) {
    const { consul } = stage;
    const ids = ['web-0', 'web-1', 'web-2'];
    const ports = await Promise.all(ids.map((id) => serve(stage, id)));
    const register = async (): Promise<void> => {
      for (const [i, ID] of ids.entries()) {
        await consul.register({ Name: 'web', ID, Address: '127.0.0.1', Port: ports[i]! });
      }
    };
    await register();
    return async () => {
      const load = await measure(stage);
      load.mark();
      await consul.kill();
      await sleep(AWAY_MS);
      await consul.restart();
      await sleep(EMPTY_MS);
      await register();
      await sleep(AFTER_MS);
      return load.end();
    };
  },
};
