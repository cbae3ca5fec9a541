// Shared connections to endpoints while they open: one that never does, for its packets are lost, must not keep
// requests that come later from an endpoint that is well again; nor one stay whose endpoint has left meanwhile.
import { expect, it } from 'vitest';
import { WorkerHost } from '../../sim/data/host.ts';
import { cleanLedger } from '../../sim/data/ledgers.ts';
import { Kernel } from '../../sim/kernel/kernel.ts';
import { SimNetwork } from '../../sim/net/sim-network.ts';
import { fairWeather } from '../../sim/net/weather.ts';
import { loopback, makeListener, makeService, makeSnapshot } from '../support/service.ts';

const PORT = 8000;
const ENDPOINT = 9000;
const CONNECT_MS = 500;
const LOST_MS = 300;

function open(latencyMs: number) {
  const kernel = new Kernel(1);
  const weatherOf = () => ({ ...fairWeather, latencyMs: [latencyMs, latencyMs] as const });
  const network = new SimNetwork(kernel, { weatherOf });
  const watch = { onAcquire() {}, onRelease() {} };
  const host = new WorkerHost(kernel, network, { shared: cleanLedger(1), index: 0, watch });
  const plain = makeService();
  const service = {
    ...plain,
    timeouts: { ...plain.timeouts, connectMs: CONNECT_MS },
    upstream: { ...plain.upstream, protocol: 'h2c' as const },
    retry: { ...plain.retry, attempts: 1 },
  };
  const seen = { connections: 0, ends: 0 };
  const gone = (): void => {
    seen.ends += 1;
  };
  network.serve(ENDPOINT, (end) => {
    seen.connections += 1;
    const onEnd = (): void => {
      end.close();
      gone();
    };
    end.handler = { onBytes() {}, onEnd, onReset: gone };
  });
  const listeners = [makeListener(service, loopback(PORT))];
  const upsert = [makeSnapshot(service, [ENDPOINT])];
  const tell = (version: number, snapshots: typeof upsert): void =>
    void host.worker.apply({ version, upsert: snapshots, remove: [], listeners });
  tell(1, upsert);
  return { kernel, network, host, seen, leave: () => tell(2, [makeSnapshot(service, [])]) };
}

it('one that takes too long to open is not waited for by requests that come later', async () => {
  const { kernel, network, host, seen } = open(0.1);
  await kernel.run(100);
  network.setSilent(ENDPOINT, true);
  const ask = (): void => {
    const client = network.dial('client', PORT, {
      onOpen: () => client.write(Buffer.from('GET / HTTP/1.1\r\nHost: sim\r\n\r\n')),
      onBytes: () => client.close(),
      onEnd: () => client.close(),
      onReset() {},
    });
  };
  ask();
  // Somebody always waits for it.
  for (let i = 1; i < 20; i += 1) kernel.after(i * 100, ask);
  kernel.after(LOST_MS, () => network.setSilent(ENDPOINT, false));
  await kernel.run(100 + CONNECT_MS - 50);
  expect(seen.connections).toBe(0);
  await kernel.run(100 + CONNECT_MS + 250);
  expect(seen.connections).toBe(1);
  host.stop();
});

it('one whose endpoint leaves while it opens closes with its last request', async () => {
  const { kernel, network, host, seen, leave } = open(50);
  await kernel.run(100);
  const client = network.dial('client', PORT, {
    onOpen: () => client.write(Buffer.from('GET / HTTP/1.1\r\nHost: sim\r\n\r\n')),
    onBytes() {},
    onEnd() {},
    onReset() {},
  });
  // The request has come, and the connection to its endpoint has not opened yet.
  kernel.after(180, leave);
  kernel.after(600, () => client.reset());
  await kernel.run(2000);
  host.stop();
  expect(seen).toEqual({ connections: 1, ends: 1 });
});
