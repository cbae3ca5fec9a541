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
import { fairWeather, type Weather } from '../../sim/net/weather.ts';
import { PLAIN_LISTEN } from '../../src/model/listener.ts';
import type { Service } from '../../src/model/service.ts';
import { loopback, makeListener, makeService, makeSnapshot } from '../support/service.ts';

const PORT = 8000;
const ENDPOINT = 9000;
const ANSWER = Buffer.from(
  'HTTP/1.1 204 No Content\r\nX-Long: a-value-that-fills-the-window\r\n\r\n',
);

interface Stage {
  readonly kernel: Kernel;
  readonly network: SimNetwork;
  readonly host: WorkerHost;
}

/** A listener for HTTP/2 with an endpoint behind it; `onAsked` is called when that has answered. */
async function makeStage(
  weather: Partial<Weather>,
  service: Service,
  onAsked: (stage: Stage) => void = () => {},
): Promise<Stage> {
  const kernel = new Kernel(1);
  const weatherOf = () => ({ ...fairWeather, ...weather });
  const network = new SimNetwork(kernel, { weatherOf });
  const watch = { onAcquire() {}, onRelease() {} };
  const host = new WorkerHost(kernel, network, { shared: cleanLedger(1), index: 0, watch });
  const stage = { kernel, network, host };
  network.serve(ENDPOINT, (end) => {
    const onBytes = (): void => {
      end.write(ANSWER);
      onAsked(stage);
    };
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
  return stage;
}

/** Sends requests on streams 1, 3 and 5, then `last`; reads from `readsMs` on. Returns `type id code`. */
async function tell(last: Buffer, readsMs = 1000): Promise<string[]> {
  const { kernel, network, host } = await makeStage({ windowBytes: 64 }, makeService());
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
      kernel.after(readsMs, () => client.resume());
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
  await kernel.run(100_000, () => isOver);
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

/** A request whose answer is on its way when another client takes the only place; what the first one hears. */
async function tellEvicted(): Promise<string[]> {
  const one = makeService();
  const service = { ...one, limits: { ...one.limits, connections: 1 } };
  // Whatever a reset can destroy it does.
  const weather: Partial<Weather> = { latencyMs: [20, 20], lossyResetShare: 1 };
  const heard: string[] = [];
  const { kernel, network, host } = await makeStage(weather, service, (stage) => {
    const handler = { onBytes() {}, onEnd() {}, onReset() {} };
    stage.kernel.after(5, () => stage.network.dial('other', PORT, handler));
  });
  const cutter = new FrameCutter();
  let isOver = false;
  const client = network.dial('client', PORT, {
    onOpen: () => {
      const block = get(new Encoder(kernel.chance('client')));
      client.write(Buffer.concat([PREFACE, settings([])]));
      client.write(frame(Type.headers, END_HEADERS | END_STREAM, 1, block));
      // Something of it is on its way at any time.
      const ping = (): void => {
        client.write(frame(Type.ping, 0, 0, Buffer.alloc(8)));
        if (!isOver && !client.isClosed) kernel.after(3, ping);
      };
      ping();
    },
    onBytes: (bytes) =>
      cutter.feed(bytes, ({ type, id }) => {
        if (type === Type.headers) heard.push(`head ${id}`);
        if (type === Type.goaway) heard.push('goaway');
      }),
    onEnd: () => {
      isOver = true;
      heard.push('end');
      client.close();
    },
    onReset: () => {
      isOver = true;
      heard.push('reset');
    },
  });
  await kernel.run(20_000, () => isOver);
  host.stop();
  return heard;
}

it('a connection that leaves for another one lets its last answer arrive', async () => {
  expect(await tellEvicted()).toEqual(['head 1', 'goaway', 'end']);
});

describe('a connection that closes while its client does not read', () => {
  it('says its last answers, for the client has said GOAWAY', async () => {
    const heard = await tell(frame(Type.goaway, 0, 0, numbers(0, Code.none)));
    expect(heard.sort()).toEqual(['goaway 0', 'head 1', 'head 3', 'head 5']);
  });

  it('says them to one that reads seconds later', async () => {
    const heard = await tell(frame(Type.goaway, 0, 0, numbers(0, Code.none)), 6000);
    expect(heard.sort()).toEqual(['goaway 0', 'head 1', 'head 3', 'head 5']);
  });

  it('says which rule was broken', async () => {
    const broken = frame(Type.ping, 0, 0, Buffer.alloc(7));
    expect(await tell(broken)).toContain(`goaway ${Code.size}`);
    expect(await tell(broken, 6000)).toContain(`goaway ${Code.size}`);
  });

  it('is closed when its time is over', async () => {
    const service = makeService();
    const heard = await tell(frame(Type.goaway, 0, 0, numbers(0, Code.none)), 90_000);
    expect(service.timeouts.idleBodyMs).toBeLessThan(80_000);
    expect(heard).not.toContain('head 5');
  });
});
