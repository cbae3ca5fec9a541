// Constant load on real endpoints behind a real Consul, while endpoints are registered, deregistered,
// killed, frozen and restarted at random. With at least one endpoint up and reachable, no idempotent
// request may fail. The seed is printed; UPRIVER_CHAOS_SEED replays a run's choices.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Random, seededRandom } from '../../src/base/prng.ts';
import { type ConsulAgent, hasConsul, startConsul } from '../support/consul.ts';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

const SECONDS = Number(process.env.UPRIVER_CHAOS_SECONDS ?? 30);
const SEED = Number(process.env.UPRIVER_CHAOS_SEED ?? process.env.TEST_SEED);
/** Further settings of the service: `,panic.spread=all`. */
const MORE = process.env.UPRIVER_CHAOS_SETTINGS ?? '';
const PLACES = 8;
/**
 * Most endpoints may freeze within a second. By default a request is sent to three endpoints at most, and a fifth of
 * all requests a second time: here enough retries are allowed to save all of them.
 */
const RETRIES = `,retry.attempts=${PLACES},retry.budget_min=1000`;
const PER_SECOND = 250;

/** How much of what came before a failure is told. */
const STORY_MS = 6000;

interface Act {
  /** Since the load began. */
  readonly atMs: number;
  readonly text: string;
}

type State = 'absent' | 'up' | 'dead' | 'frozen';

/** One of the places an endpoint may be in; its port stays the same over restarts. */
interface Place {
  readonly id: string;
  readonly port: number;
  state: State;
  isRegistered: boolean;
  process: EndpointProcess | null;
}

describe.skipIf(!hasConsul)(`random faults for ${SECONDS} s`, () => {
  let consul: ConsulAgent;
  let upriver: UpriverProcess;
  let port = 0;
  const places: Place[] = [];

  beforeAll(async () => {
    consul = await startConsul();
    const ports = await freePorts(PLACES + 1);
    port = ports[PLACES]!;
    for (let i = 0; i < PLACES; i += 1) {
      places.push({
        id: `e${i}`,
        port: ports[i]!,
        state: 'absent',
        isRegistered: false,
        process: null,
      });
    }
    upriver = await startUpriver({
      args: [
        ...['--consul', consul.url],
        // A frozen endpoint is left after a second; its check takes it out meanwhile.
        ...[
          '--service',
          `web=${port},timeouts.response=1s,health.path=/health,health.interval=500ms,health.timeout=300ms${RETRIES}${MORE}`,
        ],
      ],
    });
  });
  afterAll(async () => {
    await upriver?.stop();
    await Promise.all(places.map((place) => place.process?.kill()));
    await consul?.stop();
  });

  it(`loses no GET (seed ${SEED})`, async () => {
    console.log(`chaos seed ${SEED}`);
    const random = seededRandom(SEED);
    for (const place of places.slice(0, 4)) await bringUp(place, consul);
    await expect
      .poll(() => fetch(`http://127.0.0.1:${port}/`).then((response) => response.status))
      .toBe(200);

    const load = startLoad({
      url: `http://127.0.0.1:${port}/`,
      perSecond: PER_SECOND,
      timeoutMs: 15_000,
    });
    const done: Act[] = [];
    const startedMs = Date.now();
    const endMs = performance.now() + SECONDS * 1000;
    const hasHappened = (kind: string) => done.some(({ text }) => text.startsWith(kind));
    // The faults are real: every kind of act takes place, on a slow machine too.
    while (performance.now() < endMs || !KINDS.every(hasHappened)) {
      const text = await act(pick(random, places), random, places, consul);
      done.push({ atMs: Date.now() - startedMs, text });
      // Between a tenth and half a second of traffic.
      await load.next(Math.ceil(PER_SECOND * (0.1 + random() * 0.4)));
    }
    const result = await load.stop();

    const firstMs = result.failures[0]?.atMs ?? 0;
    const story = `seed ${SEED}\n${storyOf({ done, upriver, startedMs, firstMs })}`;
    expect(result.failures, story).toEqual([]);
    expect(result.ok).toBeGreaterThan(SECONDS * PER_SECOND * 0.5);
  });
});

const KINDS = ['kill', 'freeze', 'thaw', 'restart', 'deregister', 'launch'];

function pick<T>(random: Random, items: readonly T[]): T {
  return items[Math.floor(random() * items.length)]!;
}

/** Does something to a place; what would leave nobody up is not done. */
async function act(
  place: Place,
  random: Random,
  places: readonly Place[],
  consul: ConsulAgent,
): Promise<string> {
  const isLast =
    places.filter((one) => one.state === 'up' && one.isRegistered && one !== place).length < 1;
  switch (place.state) {
    case 'absent':
      await bringUp(place, consul);
      return `launch ${place.id}`;
    case 'dead':
      return revive(place, random, consul);
    case 'frozen':
      place.process!.thaw();
      place.state = 'up';
      return `thaw ${place.id}`;
    case 'up':
      return isLast ? `spare ${place.id}` : harm(place, random, consul);
  }
}

async function bringUp(place: Place, consul: ConsulAgent): Promise<void> {
  place.process = await startEndpoint(place.id, place.port);
  place.state = 'up';
  const { id, port } = place;
  await consul.register({ Name: 'web', ID: id, Address: '127.0.0.1', Port: port });
  place.isRegistered = true;
}

async function revive(place: Place, random: Random, consul: ConsulAgent): Promise<string> {
  if (random() < 0.6) {
    place.process = await startEndpoint(place.id, place.port);
    place.state = 'up';
    return `restart ${place.id}`;
  }
  await consul.deregister(place.id);
  place.isRegistered = false;
  place.state = 'absent';
  return `forget ${place.id}`;
}

async function harm(place: Place, random: Random, consul: ConsulAgent): Promise<string> {
  const chance = random();
  if (chance < 0.4) {
    await place.process!.kill();
    place.state = 'dead';
    return `kill ${place.id}`;
  }
  if (chance < 0.7) {
    place.process!.freeze();
    place.state = 'frozen';
    return `freeze ${place.id}`;
  }
  // Orderly: out of the registry first, then the end; what is in flight is answered.
  await consul.deregister(place.id);
  place.isRegistered = false;
  await place.process!.terminate();
  place.state = 'absent';
  return `deregister ${place.id}`;
}

interface Told {
  readonly done: readonly Act[];
  readonly upriver: UpriverProcess;
  readonly startedMs: number;
  readonly firstMs: number;
}

/** What was done and what was logged before the first failure, in order. */
function storyOf({ done, upriver, startedMs, firstMs }: Told): string {
  const logged = upriver.log.map((line): Act => {
    const { time, service: _, pid: __, level: ___, ...rest } = line;
    return { atMs: Date.parse(String(time)) - startedMs, text: JSON.stringify(rest) };
  });
  return [...done, ...logged]
    .filter(({ atMs }) => atMs > firstMs - STORY_MS && atMs < firstMs + 1000)
    .sort((a, b) => a.atMs - b.atMs)
    .map(({ atMs, text }) => `${atMs} ${text}`)
    .join('\n');
}
