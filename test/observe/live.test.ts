import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Steps } from '../../src/base/turns.ts';
import { EndpointColumn } from '../../src/ledger/layout.ts';
import { figuresInSteps } from '../../src/observe/figures.ts';
import { Live } from '../../src/observe/live.ts';
import type { PageModel } from '../../src/observe/page-model.ts';
import { partsOf } from '../../src/observe/parts.ts';
import { Pump } from '../../src/observe/pump.ts';
import { Sampler } from '../../src/observe/sampler.ts';
import { statusOf } from '../../src/observe/status.ts';
import { ManualClock } from '../support/clock.ts';
import { makeEndpoint, makeServiceView, makeSources } from '../support/stats.ts';
import { finish, textOf } from '../support/steps.ts';

interface Message {
  readonly event: string;
  readonly data: {
    readonly rows?: Record<string, Record<string, [string, number?]>>;
    readonly changes?: { endpoint: string; to: string }[];
  };
}

describe('the live stream of the dashboard', () => {
  const one = makeEndpoint('node/one');
  const view = makeServiceView('web', [one, makeEndpoint('node/two')]);
  let clock: ManualClock;
  let stats: ReturnType<typeof makeSources>;
  let live: Live;
  let server: Server;
  let gathered: number;

  beforeEach(async () => {
    clock = new ManualClock();
    stats = makeSources({ clock });
    stats.table.set(view);
    gathered = 0;
    const sampler = new Sampler(stats.sources);
    // Rates need no sampling here: what ticks is the stream alone.
    sampler.close();
    const { events } = stats.table;
    live = new Live({ events, clock, model: () => model(sampler), pump: new Pump() });
    server = createServer((_, response) => void live.add(response, partsOf(textOf(live.first()))));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(() => {
    live.close();
    server.close();
    server.closeAllConnections();
  });

  function* model(sampler: Sampler): Steps<PageModel> {
    gathered += 1;
    const { ledger, table, sources } = stats;
    const nowMs = clock.wallMs();
    return {
      status: statusOf(sources, { startedMs: 0, takenFrom: null, successor: null }),
      services: table.services().map((service) => ({
        figures: finish(figuresInSteps(service, { ledger, sampler, nowMs })),
        trend: [],
      })),
      events: [],
      nowMs,
    };
  }

  async function open() {
    const { port } = server.address() as AddressInfo;
    const sent = request({ port, host: '127.0.0.1', agent: false }).end();
    const response = await new Promise<IncomingMessage>((resolve) =>
      sent.once('response', resolve),
    );
    let text = '';
    response.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    response.on('error', () => {});
    sent.on('error', () => {});
    const messages = (): Message[] =>
      text.split('\n\n').flatMap((block) => {
        const match = /^event: (\w+)\ndata: (.+)$/.exec(block);
        return match === null ? [] : [{ event: match[1]!, data: JSON.parse(match[2]!) }];
      });
    /** The message with this number, when it has come. */
    const nth = async (n: number): Promise<Message> => {
      await expect.poll(() => messages().length).toBeGreaterThan(n);
      return messages()[n]!;
    };
    return { messages, nth, close: () => void sent.destroy() };
  }

  it('begins with every cell, and then sends those that differ', async () => {
    const { nth } = await open();
    const { data: first } = await nth(0);
    expect(Object.keys(first.rows!)).toEqual([
      ':process',
      ':summary',
      'web',
      'web?clients',
      'web/node%2Fone',
      'web/node%2Ftwo',
      'web?total',
    ]);
    expect(first.rows!['web/node%2Fone']).toMatchObject({ state: ['up'], requests: ['0', 0] });
    stats.worker.addEndpoint(one.slot, EndpointColumn.attempts, 1234);
    clock.advance(1000);
    const { event, data } = await nth(1);
    expect(event).toBe('cells');
    expect(data.rows).toEqual({
      'web/node%2Fone': { requests: ['1,234', 1234] },
      'web?total': { requests: ['1,234', 1234] },
    });
    clock.advance(1000);
    expect((await nth(2)).data.rows).toEqual({});
  });

  it('sends a change of the table at once, several together', async () => {
    const { nth } = await open();
    await nth(0);
    stats.table.change('web', 'node/one', 'down', 'connection refused');
    stats.table.change('web', 'node/two', 'drain', 'operator: drain');
    clock.advance(50);
    const { data } = await nth(1);
    expect(data.changes!.map(({ endpoint, to }) => [endpoint, to])).toEqual([
      ['node/one', 'down'],
      ['node/two', 'drain'],
    ]);
    expect(data.rows!['web/node%2Fone']).toMatchObject({
      state: ['down'],
      reason: ['connection refused'],
    });
    expect(data.rows!.web).toEqual({ up: ['0 of 2 up'] });
  });

  it('tells the page to take itself anew when endpoints or problems come or go', async () => {
    const { nth } = await open();
    await nth(0);
    stats.table.set({ ...view, endpoints: [one] });
    clock.advance(1000);
    await nth(1);
    expect((await nth(2)).event).toBe('layout');
    stats.table.general = ['a listener is gone'];
    clock.advance(1000);
    await nth(3);
    expect((await nth(4)).event).toBe('layout');
  });

  it('sends the same to everyone who looks', async () => {
    const first = await open();
    await first.nth(0);
    const second = await open();
    await second.nth(0);
    stats.worker.acquire(one.slot);
    clock.advance(1000);
    const active = { active: ['1'] };
    expect((await first.nth(1)).data.rows).toMatchObject({ 'web/node%2Fone': active });
    expect((await second.nth(1)).data.rows).toMatchObject({ 'web/node%2Fone': active });
  });

  it('gathers nothing while nobody looks', async () => {
    clock.advance(60_000);
    stats.table.change('web', 'node/one', 'down', '');
    clock.advance(60_000);
    expect(gathered).toBe(0);
    const { nth, close } = await open();
    await nth(0);
    close();
    await expect
      .poll(() => {
        const before = gathered;
        clock.advance(1000);
        clock.advance(1000);
        return gathered - before;
      })
      .toBe(0);
    const waiting = () => {
      clock.advance(1000);
      return clock.waiting;
    };
    await expect.poll(waiting).toBe(0);
  });
});
