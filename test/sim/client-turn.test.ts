// Whose turn it is decides which timer runs: a client that keeps back the rest of its body is timed out
// as a client, and its endpoint is not blamed. On a simulated link whose system takes a part of a write.
import { expect, it } from 'vitest';
import { WorkerHost } from '../../sim/data/host.ts';
import { cleanLedger } from '../../sim/data/ledgers.ts';
import { Kernel } from '../../sim/kernel/kernel.ts';
import { SimNetwork } from '../../sim/net/sim-network.ts';
import { fairWeather } from '../../sim/net/weather.ts';
import { EndpointColumn } from '../../src/ledger/layout.ts';
import { loopback, makeListener, makeService, makeSnapshot } from '../support/service.ts';

const PORT = 8000;
const ENDPOINT = 9000;

it('is not the endpoint that is slow when a client keeps back its body', async () => {
  const kernel = new Kernel(1);
  const weatherOf = () => ({ ...fairWeather, windowBytes: 100 });
  const network = new SimNetwork(kernel, { weatherOf });
  const watch = { onAcquire() {}, onRelease() {} };
  const host = new WorkerHost(kernel, network, { shared: cleanLedger(1), index: 0, watch });
  const plain = makeService();
  const timeouts = { ...plain.timeouts, responseMs: 500, idleBodyMs: 2000 };
  const service = { ...plain, timeouts };
  network.serve(ENDPOINT, (end) => {
    end.handler = { onBytes() {}, onEnd: () => end.close(), onReset() {} };
  });
  const upsert = [makeSnapshot(service, [ENDPOINT])];
  const listeners = [makeListener(service, loopback(PORT))];
  void host.worker.apply({ version: 1, upsert, remove: [], listeners });
  await kernel.run(100);
  let answer = '';
  const client = network.dial('client', PORT, {
    onOpen: () => {
      const head = 'POST / HTTP/1.1\r\nHost: sim\r\nContent-Length: 1000\r\n\r\n';
      client.write(Buffer.from(head + 'b'.repeat(300)));
    },
    onBytes: (bytes) => {
      answer += bytes.toString('latin1');
    },
    onEnd: () => client.close(),
    onReset() {},
  });
  await kernel.run(10_000, () => answer.includes('\r\n\r\n'));
  host.stop();
  expect(answer).toContain('X-Upriver-Reason: client-body-timeout');
  expect(host.ledger.endpointTotal(0, EndpointColumn.failures)).toBe(0);
});
