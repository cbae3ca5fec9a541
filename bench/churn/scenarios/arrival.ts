// From the return of a registration to the first answer of the new instance. Requests go one after
// the other; one that fails on the way is just no answer of the new one.
import { Agent, request } from 'node:http';
import { quantile } from '../../statistics.ts';
import { serve } from '../endpoints.ts';
import { type Scenario, sleep } from '../scenario.ts';

const SAMPLES = 40;
const PATIENCE_MS = 5000;
/** No further sample is begun after so long. */
const BUDGET_MS = 20_000;
const APART_MS = 100;
/** Pauses differ over so long, by a stride that hits every part of it: who asks once a second would
 * otherwise always have just asked. */
const SPREAD_MS = 1000;
const STRIDE_MS = 371;

export const arrival: Scenario = {
  name: 'arrival',
  title: 'registration to first answer',
  goals: { p50Ms: 10, p99Ms: 50 },
  async prepare(stage) {
    const { consul, port } = stage;
    const add = (ID: string, Port: number) =>
      consul.register({ Name: 'web', ID, Address: '127.0.0.1', Port });
    await add('first', await serve(stage, 'first'));
    const agent = new Agent({ keepAlive: true });
    stage.defer(() => agent.destroy());
    return async () => {
      await untilAnsweredBy('first', { port, agent });
      const samples: number[] = [];
      const beganMs = performance.now();
      for (let i = 0; i < SAMPLES && performance.now() - beganMs < BUDGET_MS; i += 1) {
        const id = `new-${i}`;
        // It serves to the end: those that learn late still send there.
        await add(id, await serve(stage, id));
        samples.push(await untilAnsweredBy(id, { port, agent }));
        await consul.deregister(id);
        await sleep(APART_MS + ((i * STRIDE_MS) % SPREAD_MS));
      }
      const seen = samples.filter(Number.isFinite);
      return {
        ...{ requests: samples.length, missed: samples.length - seen.length },
        ...{ p50Ms: quantile(seen, 0.5), p99Ms: quantile(seen, 0.99), maxMs: quantile(seen, 1) },
      };
    };
  },
};

interface At {
  readonly port: number;
  readonly agent: Agent;
}

/** How long that took, ms; Infinity when patience ended. */
async function untilAnsweredBy(id: string, at: At): Promise<number> {
  const startMs = performance.now();
  while (performance.now() - startMs < PATIENCE_MS) {
    if ((await ask(at)) === id) return performance.now() - startMs;
  }
  return Number.POSITIVE_INFINITY;
}

/** The id of who answered; '' after a failure. */
function ask({ port, agent }: At): Promise<string> {
  return new Promise((resolve) => {
    request({ host: '127.0.0.1', port, agent }, (response) => {
      response.resume();
      response.on('end', () => resolve(String(response.headers['x-endpoint'] ?? '')));
      response.on('error', () => resolve(''));
    })
      .on('error', () => resolve(''))
      .end();
  });
}
