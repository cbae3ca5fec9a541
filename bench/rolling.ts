// Requests lost while 10 endpoints are replaced one after the other under constant load: the new one
// is registered, the old one deregistered and then ended with SIGTERM, as a deploy does.
// usage: npm run bench:rolling
import { writeFileSync } from 'node:fs';
import { startConsul } from '../test/support/consul.ts';
import { type EndpointProcess, startEndpoint } from '../test/support/endpoint.ts';
import { startLoad } from '../test/support/load.ts';
import { freePorts } from '../test/support/ports.ts';
import { startUpriver } from '../test/support/upriver.ts';

const ENDPOINTS = 10;
const PER_SECOND = 1000;

const consul = await startConsul();
const [port = 0] = await freePorts(1);
const upriver = await startUpriver({
  args: ['--consul', consul.url, '--service', `web=${port}`, '--log-level', 'warn'],
});
const running: EndpointProcess[] = [];
try {
  for (let i = 0; i < ENDPOINTS; i += 1) running.push(await launch(`old-${i}`));
  const load = startLoad({
    url: `http://127.0.0.1:${port}/`,
    perSecond: PER_SECOND,
    timeoutMs: 10_000,
  });
  await load.next(PER_SECOND);
  for (let i = 0; i < ENDPOINTS; i += 1) {
    const old = running.shift()!;
    running.push(await launch(`new-${i}`));
    await consul.deregister(old.id);
    // The deploy's own pause between "no new work" and "end": one second, as most have.
    await load.next(PER_SECOND);
    await old.terminate();
  }
  const result = await load.stop();
  const latencies = [...result.latenciesMs].sort((a, b) => a - b);
  const figures = {
    requests: result.ok + result.failures.length,
    lost: result.failures.length,
    p50_ms: round(latencies[Math.floor(latencies.length * 0.5)]!),
    p99_ms: round(latencies[Math.floor(latencies.length * 0.99)]!),
    endpoints_seen: result.byEndpoint.size,
  };
  console.log(`rolling replacement of ${ENDPOINTS} endpoints at ${PER_SECOND} req/s`);
  console.table(figures);
  if (process.env.BENCH_JSON) writeFileSync(process.env.BENCH_JSON, JSON.stringify(figures));
  if (result.failures.length > 0) console.log(result.failures.slice(0, 10));
} finally {
  await upriver.stop();
  await Promise.all(running.map((endpoint) => endpoint.kill()));
  await consul.stop();
}

async function launch(id: string): Promise<EndpointProcess> {
  const endpoint = await startEndpoint(id);
  await consul.register({ Name: 'web', ID: id, Address: '127.0.0.1', Port: endpoint.port });
  return endpoint;
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
