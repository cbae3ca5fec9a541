// One of four endpoints is frozen under load: its kernel accepts connections, nobody answers.
import { launch } from '../endpoints.ts';
import { measure, type Scenario, sleep } from '../scenario.ts';
import { RESPONSE_TIMEOUT_MS } from '../subject.ts';

export const hang: Scenario = {
  name: 'hang',
  title: 'hang of one in four (SIGSTOP)',
  goals: { failed: 0, p99Ms: RESPONSE_TIMEOUT_MS },
  async prepare(stage) {
    const all = await Promise.all([0, 1, 2, 3].map((i) => launch(stage, `web-${i}`, true)));
    return async () => {
      const load = await measure(stage);
      load.mark();
      all[0]!.freeze();
      await sleep(stage.seconds * 1000);
      return load.end();
    };
  },
};
