// A connection that says its PROXY header when its listener has closed, and the service has left and returned
// meanwhile: its request is for the service as it is now.
import { expect, it } from 'vitest';
import { WorkerHost } from '../../sim/data/host.ts';
import { cleanLedger } from '../../sim/data/ledgers.ts';
import { Kernel } from '../../sim/kernel/kernel.ts';
import { SimNetwork } from '../../sim/net/sim-network.ts';
import { fairWeather } from '../../sim/net/weather.ts';
import { PLAIN_LISTEN } from '../../src/model/listener.ts';
import { loopback, makeListener, makeService, makeSnapshot } from '../support/service.ts';

const PORT = 8000;
const ENDPOINT = 9000;
const ANSWER = Buffer.from('HTTP/1.1 204 No Content\r\n\r\n');
const HEADER = Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\n');
const REQUEST = Buffer.from('GET / HTTP/1.1\r\nHost: sim\r\n\r\n');

it('is served by the service that has taken the place of the one before', async () => {
  const kernel = new Kernel(1);
  const network = new SimNetwork(kernel, { weatherOf: () => fairWeather });
  const watch = { onAcquire() {}, onRelease() {} };
  const host = new WorkerHost(kernel, network, { shared: cleanLedger(1), index: 0, watch });
  const service = makeService();
  network.serve(ENDPOINT, (end) => {
    const onBytes = (): void => void end.write(ANSWER);
    end.handler = { onBytes, onEnd: () => end.close(), onReset() {} };
  });
  const policy = { ...PLAIN_LISTEN, acceptProxy: ['127.0.0.0/8'] };
  const listener = { ...makeListener(service, loopback(PORT)), policy };
  const upsert = [makeSnapshot(service, [ENDPOINT])];
  const there = { upsert, remove: [], listeners: [listener] };
  const gone = { upsert: [], remove: [service.name], listeners: [] };
  void host.worker.apply({ version: 1, ...there });
  await kernel.run(100);
  let heard = '';
  const client = network.dial('client', PORT, {
    onOpen() {},
    onBytes: (bytes) => {
      heard += bytes.toString();
    },
    onEnd: () => client.close(),
    onReset() {},
  });
  kernel.at(200, () => void host.worker.apply({ version: 2, ...gone }));
  kernel.at(300, () => void host.worker.apply({ version: 3, ...there }));
  kernel.at(400, () => client.write(Buffer.concat([HEADER, REQUEST])));
  await kernel.run(2000, () => heard !== '');
  host.stop();
  expect(heard.split('\r\n')[0]).toBe('HTTP/1.1 204 No Content');
});
