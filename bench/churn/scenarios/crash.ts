// One of four endpoints is killed under load; Consul's own check, each second, learns of it later.
import { launch } from '../endpoints.ts';
import { measure, type Scenario, sleep } from '../scenario.ts';

export const crash: Scenario = {
  name: 'crash',
  title: 'crash of one in four (SIGKILL)',
  goals: { failed: 0 },
  async prepare(stage) {
    const all = await Promise.all([0, 1, 2, 3].map((i) => launch(stage, `web-${i}`, true)));
    return async () => {
      const load = await measure(stage);
      load.mark();
      await all[0]!.kill();
      await sleep(stage.seconds * 1000);
      return load.end();
    };
  },
};
