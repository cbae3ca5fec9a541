// Pages of a large table are made in turns, whatever the machine: the clock counts the places at which
// the work may stop, and turns are counted by what was read in each.
import { EventEmitter, once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Clock, Timer } from '../../src/base/clock.ts';
import { EventLog } from '../../src/control/events.ts';
import type { Connection } from '../../src/observe/connections.ts';
import { EventStreams } from '../../src/observe/event-streams.ts';
import { Outbox } from '../../src/observe/outbox.ts';
import { Parts } from '../../src/observe/parts.ts';
import { Pump } from '../../src/observe/pump.ts';
import {
  makeEndpointView,
  makeServiceView,
  type StatsPort,
  startStatsPort,
} from '../support/stats-port.ts';

const ENDPOINTS = 1000;
/** A turn is over after so many looks at the clock, each of which takes a millisecond of it. */
const LOOKS_A_TURN = 4;

/** Time passes by being looked at. */
class LookedAtClock implements Clock {
  turns = 0;
  /** The most of `read` that came between two turns. */
  readMax = 0;
  read = 0;
  private ms = 0;

  nowMs(): number {
    this.ms += 1;
    return this.ms;
  }

  wallMs(): number {
    return Date.UTC(2026, 0, 1);
  }

  setTimer(_delayMs: number, run: () => void): Timer {
    const handle = setImmediate(run);
    return { cancel: () => clearImmediate(handle) };
  }

  nextTurn(run: () => void): void {
    this.turns += 1;
    this.restart();
    setImmediate(run);
  }

  restart(): void {
    this.readMax = Math.max(this.readMax, this.read);
    this.read = 0;
  }
}

/** Takes all that is written, and says so as Node does: before anything else has its turn. */
function keepingUp(onWrite: (part: Buffer) => void) {
  const response = Object.assign(new EventEmitter(), {
    destroyed: false,
    writableLength: 0,
    req: { method: 'GET' },
    writeHead: () => response,
    write: (part: Buffer) => {
      onWrite(part);
      process.nextTick(() => response.emit('drain'));
      return false;
    },
    end: () => response.emit('close'),
    destroy: () => response.emit('close'),
  });
  // What is used of it.
  return response as unknown as ServerResponse;
}

/** Counts what is written in a turn of the thread. */
class Written {
  bytes = 0;
  max = 0;
  private turn = 0;
  private isOver = false;

  constructor() {
    const next = (): void => {
      this.turn = 0;
      if (!this.isOver) setImmediate(next);
    };
    next();
  }

  readonly take = (part: Buffer): void => {
    this.turn += 1;
    this.bytes += part.length;
    this.max = Math.max(this.max, this.turn);
  };

  end(): void {
    this.isOver = true;
  }
}

/** Two turns of writing may lie between two looks. */
const PARTS_MAX = 16;

it('bodies that are ready for many leave in turns, however fast they are read', async () => {
  const outbox = new Outbox(new Pump());
  const body = new Parts(Array.from({ length: 100 }, (_, i) => Buffer.alloc(32 * 1024, i)));
  const written = new Written();
  const responses = Array.from({ length: 20 }, () => keepingUp(written.take));
  const ended = Promise.all(responses.map((response) => once(response, 'close')));
  for (const response of responses) {
    // What the outbox uses of them.
    const connection = { progressMs: 0, isStalled: () => false } as unknown as Connection;
    expect(outbox.send(response, body, connection)).toBe(true);
  }
  await ended;
  written.end();
  expect(written.bytes).toBe(20 * body.length);
  expect(written.max).toBeLessThanOrEqual(PARTS_MAX);
});

it('streams do, and a burst of changes is one message to each', async () => {
  const events = new EventLog();
  const streams = new EventStreams(events, new Pump());
  const written = new Written();
  let writes = 0;
  let text = '';
  for (let i = 0; i < 50; i += 1) {
    const response = keepingUp((part) => {
      written.take(part);
      writes += 1;
      if (i === 0) text += part.toString();
    });
    expect(streams.add(response, null)).toBe(true);
  }
  const added = { service: 's', from: 'up', to: 'down', reason: 'r', atMs: 1 };
  const cause = { kind: 'registry', text: '' } as const;
  for (let i = 0; i < 1000; i += 1) events.add({ ...added, endpoint: `e${i}`, cause });
  await expect.poll(() => text).toContain('"e999"');
  await expect.poll(() => written.bytes).toBe(50 * text.length);
  written.end();
  streams.close();
  expect(text.match(/^data: /gm)).toHaveLength(1000);
  // The first line, and some 200 KiB in parts of 32.
  expect(writes).toBeLessThan(50 * 12);
  expect(written.max).toBeLessThanOrEqual(PARTS_MAX);
});

describe('a page about many endpoints', () => {
  let clock: LookedAtClock;
  let port: StatsPort;

  beforeEach(async () => {
    clock = new LookedAtClock();
    port = await startStatsPort({ clock });
    const compared = () => {
      clock.read += 1;
      return null;
    };
    const endpoints = Array.from({ length: ENDPOINTS }, (_, i) =>
      makeEndpointView(`n${i}`, { slot: i, compared }),
    );
    port.services = [makeServiceView('web', { endpoints })];
  });
  afterEach(() => port.close());

  it.each(['/stats', '/stats;csv', '/api/v1/services', '/api/v1/services/web'])(
    '%s is gathered, and written, in turns',
    async (path) => {
      const before = clock.turns;
      const { status, text } = await port.ask(path);
      expect(status).toBe(200);
      expect(text).toContain(`n${ENDPOINTS - 1}`);
      clock.restart();
      // The sampler, which counts turns too, reads nothing of this.
      expect(clock.readMax).toBeLessThanOrEqual(LOOKS_A_TURN);
      const steps = 2 * ENDPOINTS;
      expect(clock.turns - before).toBeGreaterThanOrEqual(Math.floor(steps / (LOOKS_A_TURN + 1)));
    },
  );

  it.each(['text/plain', 'application/openmetrics-text'])('metrics as %s', async (accept) => {
    const before = clock.turns;
    const { text } = await port.ask('/metrics', { headers: { accept } });
    const samples = text.match(/^upriver_\S* \S+$/gm)!.length;
    expect(samples).toBeGreaterThan(10 * ENDPOINTS);
    expect(clock.turns - before).toBeGreaterThanOrEqual(Math.floor(samples / (LOOKS_A_TURN + 1)));
  });

  it('is the same as in one piece', async () => {
    const { text } = await port.ask('/api/v1/services');
    const services = JSON.parse(text) as { endpoints: { id: string }[] }[];
    expect(text).toBe(`${JSON.stringify(services, null, 2)}\n`);
    expect(services[0]!.endpoints.map(({ id }) => id)).toEqual(
      port.services[0]!.endpoints.map(({ id }) => id),
    );
    const one = (await port.ask('/api/v1/services/web')).text;
    expect(one).toBe(`${JSON.stringify(services[0], null, 2)}\n`);
    port.services = [];
    expect((await port.ask('/api/v1/services')).text).toBe('[]\n');
    port.services = [makeServiceView('none'), makeServiceView('nobody')];
    const none = (await port.ask('/api/v1/services')).text;
    expect(none).toBe(`${JSON.stringify(JSON.parse(none), null, 2)}\n`);
  });
});

it('a long stream of cells begins in turns', async () => {
  const clock = new LookedAtClock();
  const port = await startStatsPort({ clock });
  const endpoints = Array.from({ length: ENDPOINTS }, (_, i) =>
    makeEndpointView(`n${i}`, { slot: i }),
  );
  port.services = [makeServiceView('web', { endpoints })];
  const before = clock.turns;
  const controller = new AbortController();
  const response = await fetch(`${port.url}/stats/live`, { signal: controller.signal });
  // The head leaves with the first message.
  expect(response.status).toBe(200);
  expect(clock.turns - before).toBeGreaterThanOrEqual((3 * ENDPOINTS) / (LOOKS_A_TURN + 1));
  controller.abort();
  await port.close();
});
