// How long a new instance waits for its first request: from the return of its registration with a
// real Consul agent to the first answer that came from it, 100 times. The service has no check.
// usage: npm run bench:convergence
import { writeFileSync } from 'node:fs';
import { Agent, createServer, request, type Server } from 'node:http';
import { startConsul } from '../test/support/consul.ts';
import { freePorts } from '../test/support/ports.ts';
import { startUpriver } from '../test/support/upriver.ts';

const SAMPLES = 100;
/** Apart by so much: changes that come faster than 50 a second are followed in batches. */
const APART_MS = 100;
/** Requests are sent one after the other, without a pause, until the new endpoint answers. */
const GIVE_UP_MS = 5000;

const consul = await startConsul();
const [port = 0] = await freePorts(1);
const upriver = await startUpriver({
  args: ['--consul', consul.url, '--service', `web=${port}`, '--log-level', 'warn'],
});
const agent = new Agent({ keepAlive: true });
const samplesMs: number[] = [];
try {
  const first = await startEndpoint('first');
  await consul.register({ Name: 'web', ID: 'first', Address: '127.0.0.1', Port: portOf(first) });
  await untilAnsweredBy('first');
  for (let i = 0; i < SAMPLES; i += 1) samplesMs.push(await sample(`new-${i}`));
  first.close();
} finally {
  await upriver.stop();
  await consul.stop();
  agent.destroy();
}

samplesMs.sort((a, b) => a - b);
const figures = {
  samples: SAMPLES,
  median_ms: at(0.5),
  p90_ms: at(0.9),
  p99_ms: at(0.99),
  max_ms: at(1),
};
console.log('registration returned -> first answer from the new endpoint, ms');
console.table(figures);
if (process.env.BENCH_JSON) writeFileSync(process.env.BENCH_JSON, JSON.stringify(figures));

async function sample(id: string): Promise<number> {
  const endpoint = await startEndpoint(id);
  await consul.register({ Name: 'web', ID: id, Address: '127.0.0.1', Port: portOf(endpoint) });
  const ms = await untilAnsweredBy(id);
  await consul.deregister(id);
  await new Promise((resolve) => setTimeout(resolve, APART_MS));
  endpoint.close();
  endpoint.closeAllConnections();
  return ms;
}

/** Asks until `id` answers; returns how long that took. */
async function untilAnsweredBy(id: string): Promise<number> {
  const startMs = performance.now();
  while (performance.now() - startMs < GIVE_UP_MS) {
    if ((await ask()) === id) return performance.now() - startMs;
  }
  throw new Error(`${id} got no request within ${GIVE_UP_MS} ms`);
}

function ask(): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, agent }, (response) => {
      response.resume();
      response.on('end', () => resolve(String(response.headers['x-endpoint'] ?? '')));
    })
      .on('error', reject)
      .end();
  });
}

/** In this process: starting one must not cost the time that is measured. */
function startEndpoint(id: string): Promise<Server> {
  const server = createServer((_, response) => response.setHeader('x-endpoint', id).end('ok'));
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function at(q: number): number {
  const index = Math.min(samplesMs.length - 1, Math.floor(q * samplesMs.length));
  return Math.round(samplesMs[index]! * 100) / 100;
}
