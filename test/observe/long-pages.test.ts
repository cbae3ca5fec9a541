// Pages of a large table are made in turns, whatever the machine: the clock counts the places at which
// the work may stop, and turns are counted by what was read in each.
import { EventEmitter, once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Clock, Timer } from '../../src/base/clock.ts';
import type { Connection } from '../../src/observe/connections.ts';
import { Outbox } from '../../src/observe/outbox.ts';
import { Parts } from '../../src/observe/parts.ts';
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

it('bodies that are ready for many leave in turns', async () => {
  const outbox = new Outbox();
  const body = new Parts(Array.from({ length: 100 }, (_, i) => Buffer.alloc(32 * 1024, i)));
  const [socket, written] = [{ writableLength: 0 }, { turn: 0, max: 0, bytes: 0 }];
  const responseOf = () => {
    const response = Object.assign(new EventEmitter(), {
      destroyed: false,
      write: (part: Buffer) => {
        written.turn += 1;
        written.bytes += part.length;
        written.max = Math.max(written.max, written.turn);
        return true;
      },
      end: () => response.emit('close'),
    });
    return response;
  };
  const responses = Array.from({ length: 20 }, responseOf);
  const ended = Promise.all(responses.map((response) => once(response, 'close')));
  let isOver = false;
  const turn = (): void => {
    written.turn = 0;
    if (!isOver) setImmediate(turn);
  };
  turn();
  for (const response of responses) {
    // What the outbox uses of them.
    const connection = { socket, progressMs: 0, isStalled: () => false } as unknown as Connection;
    expect(outbox.send(response as unknown as ServerResponse, body, connection)).toBe(true);
  }
  await ended;
  isOver = true;
  expect(written.bytes).toBe(20 * body.length);
  // Those that begin together, and two turns that may lie between two looks.
  expect(written.max).toBeLessThanOrEqual(20 + 16);
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
