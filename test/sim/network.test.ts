// The simulated socket against Node's rules, as a wire sees them.
import { describe, expect, it } from 'vitest';
import { Kernel } from '../../sim/kernel/kernel.ts';
import type { ActorEnd } from '../../sim/net/actor-end.ts';
import { type NetworkOptions, SimNetwork } from '../../sim/net/sim-network.ts';
import { fairWeather } from '../../sim/net/weather.ts';
import type { ConnectHandler, Wire } from '../../src/proxy/network.ts';

const PORT = 9000;

/** A wire that the product's side opens, and what becomes of it. */
class Dialled implements ConnectHandler {
  readonly wire: Wire;
  readonly events: string[] = [];
  base: Buffer | null = null;
  onOpened: () => void = () => {};

  constructor(network: SimNetwork) {
    this.wire = network.connect({ address: '127.0.0.1', port: PORT }, this);
  }

  onConnect(): void {
    this.events.push('connect');
    this.onOpened();
  }

  onBytes(base: Buffer, start: number, end: number): void {
    this.base = base.subarray(start, end);
    this.events.push(`bytes ${base.toString('latin1', start, end)}`);
  }

  onEnd(): void {
    this.events.push('end');
  }

  onDrain(): void {
    this.events.push('drain');
  }

  onClose(error: NodeJS.ErrnoException | null): void {
    this.events.push(`close ${error?.code ?? ''}`.trim());
  }
}

function make(options: NetworkOptions = {}) {
  const kernel = new Kernel(1);
  const network = new SimNetwork(kernel, { weatherOf: () => fairWeather, ...options });
  return { kernel, network };
}

/** An actor that accepts one connection and writes down what it gets. */
function serve(network: SimNetwork, onOpen: (end: ActorEnd) => void = () => {}) {
  const got = { bytes: '', events: [] as string[], end: null as ActorEnd | null };
  network.serve(PORT, (end) => {
    got.end = end;
    end.handler = {
      onBytes: (bytes) => {
        got.bytes += bytes.toString('latin1');
      },
      onEnd: () => got.events.push('end'),
      onReset: () => got.events.push('reset'),
    };
    onOpen(end);
  });
  return got;
}

describe('connecting', () => {
  it('is refused where nobody listens', async () => {
    const { kernel, network } = make();
    const dialled = new Dialled(network);
    await kernel.run(10_000);
    expect(dialled.events).toEqual(['close ECONNREFUSED']);
  });

  it('times out where packets are lost', async () => {
    const { kernel, network } = make();
    network.setSilent(PORT, true);
    const dialled = new Dialled(network);
    expect(await kernel.run(100_000)).toBe('time');
    expect(dialled.events).toEqual([]);
    await kernel.run(200_000);
    expect(dialled.events).toEqual(['close ETIMEDOUT']);
  });

  it('fails without a descriptor, and gives them back', async () => {
    const { kernel, network } = make({ descriptors: 1 });
    serve(network);
    const first = new Dialled(network);
    const second = new Dialled(network);
    await kernel.run(10_000);
    expect([first.events, second.events]).toEqual([['connect'], ['close EMFILE']]);
    first.wire.destroy();
    await kernel.run(20_000);
    expect(network.descriptors.usedCount).toBe(0);
  });

  it('is given up at once where a reset is asked for meanwhile', async () => {
    const { kernel, network } = make();
    const got = serve(network);
    const dialled = new Dialled(network);
    dialled.wire.reset();
    await kernel.run(10_000);
    expect(dialled.events).toEqual(['close']);
    expect(got.bytes).toBe('');
    expect(network.descriptors.usedCount).toBe(0);
  });
});

describe('a socket', () => {
  it('takes a part of a write and tells when the rest is taken', async () => {
    const { kernel, network } = make({ weatherOf: () => ({ ...fairWeather, windowBytes: 3 }) });
    const got = serve(network);
    const dialled = new Dialled(network);
    dialled.onOpened = () => {
      expect(dialled.wire.write(Buffer.from('hello world'))).toBe(false);
      dialled.wire.end();
    };
    await kernel.run(10_000);
    expect(dialled.events).toEqual(['connect', 'drain']);
    expect([got.bytes, got.events]).toEqual(['hello world', ['end']]);
  });

  it('overwrites what it read once the handler has returned', async () => {
    const { kernel, network } = make();
    serve(network, (end) => end.write(Buffer.from('abc')));
    const dialled = new Dialled(network);
    await kernel.run(10_000);
    expect(dialled.events).toEqual(['connect', 'bytes abc']);
    expect(dialled.base!.toString('latin1')).toBe('~~~');
  });

  it('closes by itself when both sides have ended, in a later event', async () => {
    const { kernel, network } = make();
    serve(network, (end) => {
      end.write(Buffer.from('x'));
      end.end();
    });
    const dialled = new Dialled(network);
    await kernel.run(10_000);
    expect(dialled.events).toEqual(['connect', 'bytes x', 'end']);
    dialled.wire.end();
    expect(dialled.events.length).toBe(3);
    await kernel.run(20_000);
    expect(dialled.events).toEqual(['connect', 'bytes x', 'end', 'close']);
  });

  it('notices a reset only when it reads', async () => {
    const { kernel, network } = make();
    const got = serve(network);
    const dialled = new Dialled(network);
    dialled.onOpened = () => dialled.wire.pause();
    await kernel.run(10_000);
    got.end!.reset();
    await kernel.run(20_000);
    expect(dialled.events).toEqual(['connect']);
    dialled.wire.resume();
    await kernel.run(30_000);
    expect(dialled.events).toEqual(['connect', 'close ECONNRESET']);
  });

  it('resets a peer whose bytes it did not read, or that sends after the close', async () => {
    const { kernel, network } = make();
    const got = serve(network);
    const dialled = new Dialled(network);
    await kernel.run(10_000);
    dialled.wire.destroy();
    await kernel.run(20_000);
    expect(got.events).toEqual(['end']);
    got.end!.write(Buffer.from('late'));
    await kernel.run(30_000);
    expect(got.events).toEqual(['end', 'reset']);
    expect(dialled.events).toEqual(['connect', 'close']);
  });
});
