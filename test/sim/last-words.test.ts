// What an HTTP/2 connection still has to say when it closes: answers, and why. The client reads late, so
// that the system has not taken what was written before.
import { describe, expect, it } from 'vitest';
import {
  Code,
  END_HEADERS,
  END_STREAM,
  FrameCutter,
  frame,
  numbers,
  PREFACE,
  settings,
  Type,
} from '../../sim/data/h2/frames.ts';
import { Encoder } from '../../sim/data/h2/hpack.ts';
import { WorkerHost } from '../../sim/data/host.ts';
import { cleanLedger } from '../../sim/data/ledgers.ts';
import { Kernel } from '../../sim/kernel/kernel.ts';
import { SimNetwork } from '../../sim/net/sim-network.ts';
import { fairWeather } from '../../sim/net/weather.ts';
import { PLAIN_LISTEN } from '../../src/model/listener.ts';
import { loopback, makeListener, makeService, makeSnapshot } from '../support/service.ts';

const PORT = 8000;
const ENDPOINT = 9000;
const ANSWER = Buffer.from(
  'HTTP/1.1 204 No Content\r\nX-Long: a-value-that-fills-the-window\r\n\r\n',
);

/** Sends requests on streams 1, 3 and 5, then `last`; reads when all has happened. Returns `type id code`. */
async function tell(last: Buffer): Promise<string[]> {
  const kernel = new Kernel(1);
  const weatherOf = () => ({ ...fairWeather, windowBytes: 64 });
  const network = new SimNetwork(kernel, { weatherOf });
  const watch = { onAcquire() {}, onRelease() {} };
  const host = new WorkerHost(kernel, network, { shared: cleanLedger(1), index: 0, watch });
  const service = makeService();
  network.serve(ENDPOINT, (end) => {
    const onBytes = (): void => void end.write(ANSWER);
    end.handler = { onBytes, onEnd: () => end.close(), onReset() {} };
  });
  const listener = makeListener(service, loopback(PORT));
  const listeners = [{ ...listener, policy: { ...PLAIN_LISTEN, http2: true } }];
  void host.worker.apply({
    version: 1,
    upsert: [makeSnapshot(service, [ENDPOINT])],
    remove: [],
    listeners,
  });
  await kernel.run(100);
  const heard: string[] = [];
  const cutter = new FrameCutter();
  const encoder = new Encoder(kernel.chance('client'));
  let isOver = false;
  const client = network.dial('client', PORT, {
    onOpen: () => {
      client.write(PREFACE);
      client.write(settings([]));
      client.pause();
      for (const id of [1, 3, 5])
        client.write(frame(Type.headers, END_HEADERS | END_STREAM, id, get(encoder)));
      kernel.after(500, () => client.write(last));
      kernel.after(1000, () => client.resume());
    },
    onBytes: (bytes) =>
      cutter.feed(bytes, ({ type, id, payload }) => {
        if (type === Type.headers) heard.push(`head ${id}`);
        if (type === Type.goaway) heard.push(`goaway ${payload.readUInt32BE(4)}`);
      }),
    onEnd: () => {
      isOver = true;
      client.close();
    },
    onReset: () => {
      isOver = true;
    },
  });
  await kernel.run(20_000, () => isOver);
  host.stop();
  return heard;
}

function get(encoder: Encoder): Buffer {
  return encoder.encode([
    [':method', 'GET'],
    [':scheme', 'http'],
    [':authority', 'sim'],
    [':path', '/'],
  ]);
}

describe('a connection that closes while its client does not read', () => {
  it('says its last answers, for the client has said GOAWAY', async () => {
    const heard = await tell(frame(Type.goaway, 0, 0, numbers(0, Code.none)));
    expect(heard.sort()).toEqual(['goaway 0', 'head 1', 'head 3', 'head 5']);
  });

  it('says which rule was broken', async () => {
    const heard = await tell(frame(Type.ping, 0, 0, Buffer.alloc(7)));
    expect(heard).toContain(`goaway ${Code.size}`);
  });
});
