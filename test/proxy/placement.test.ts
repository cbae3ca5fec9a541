// One request seeking its place, on a clock that the test turns: waiting, its end, and what is given
// back; and what a worker's service says of endpoints that change.

import { beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { seededRandom } from '../../src/base/prng.ts';
import { TimerWheel } from '../../src/base/timer-wheel.ts';
import { Ledger, WorkerLedger } from '../../src/ledger/ledger.ts';
import type { EndpointState } from '../../src/model/endpoint.ts';
import { reason } from '../../src/model/reason.ts';
import type { ServiceSnapshot } from '../../src/model/snapshot.ts';
import type { WorkerContext } from '../../src/proxy/context.ts';
import { Hold } from '../../src/proxy/hold.ts';
import { Memory } from '../../src/proxy/limits/memory.ts';
import { type IdleConnections, Room } from '../../src/proxy/limits/room.ts';
import type { LiveEndpoint } from '../../src/proxy/live-endpoint.ts';
import { LiveService } from '../../src/proxy/live-service.ts';
import { Placement } from '../../src/proxy/placement.ts';
import { Challenges } from '../../src/proxy/tls/challenges.ts';
import { makeNodeDatagrams } from '../../src/proxy/wire/node-datagrams.ts';
import { makeNodeNetwork } from '../../src/proxy/wire/node-network.ts';
import { type Policy, serviceOf } from '../support/plane.ts';
import { makeSnapshot } from '../support/service.ts';

let nowMs: number;
let wheel: TimerWheel;
let ledger: Ledger;
let context: WorkerContext;
const idle: IdleConnections & { count: number } = {
  count: 0,
  closeIdle() {
    const { count } = this;
    this.count = 0;
    return count;
  },
};

beforeEach(() => {
  nowMs = 0;
  wheel = new TimerWheel(() => nowMs);
  ledger = new Ledger();
  context = {
    index: 0,
    ledger: new WorkerLedger(ledger.buffersFor(0)),
    clock: systemClock,
    network: makeNodeNetwork(silentLogger),
    datagrams: makeNodeDatagrams(silentLogger),
    wheel,
    services: new Map(),
    tls: new Map(),
    challenges: new Challenges(),
    upstreamTls: new Map(),
    random: seededRandom(1),
    log: silentLogger,
    accessLog: null,
    report() {},
    memory: new Memory(wheel),
    room: new Room(new Map([['web', idle]]), wheel, silentLogger),
  };
});

/** Turns the clock, tick by tick. */
function pass(ms: number): void {
  for (const untilMs = nowMs + ms; nowMs < untilMs; ) {
    nowMs += 5;
    wheel.tick();
  }
}

function open(policy: Policy, count: number): LiveService {
  const ports = Array.from({ length: count }, (_none, i) => 1000 + i);
  return new LiveService(makeSnapshot(serviceOf(policy), ports), context);
}

/** A request that writes down what happens to it. */
class Seeker {
  readonly log: string[] = [];
  readonly placement: Placement;
  readonly hold: Hold;
  private readonly live: LiveService;

  constructor(live: LiveService) {
    this.live = live;
    this.hold = new Hold(context.ledger);
    this.placement = new Placement(this, context);
    this.placement.begin(live, 0);
  }

  onPlaced(endpoint: LiveEndpoint): void {
    this.hold.take(endpoint, this.live);
    this.log.push(endpoint.id);
  }

  end(): void {
    this.hold.leave();
    this.placement.end(0);
  }

  onNoPlace(why: { code: string }): void {
    this.log.push(`${why.code} at ${nowMs}`);
  }

  onBug(error: unknown): void {
    throw error;
  }
}

describe('a place', () => {
  it('is waited for in order, and the wait is that of the request, not of one attempt', () => {
    const live = open({ limits: { perEndpoint: 1, queueTimeoutMs: 1000 } }, 1);
    const [first, second, third] = [new Seeker(live), new Seeker(live), new Seeker(live)];
    for (const seeker of [first, second, third]) seeker.placement.find();
    expect([first.log, second.log, third.log]).toEqual([['e0'], [], []]);
    pass(600);
    first.end();
    expect([second.log, third.log]).toEqual([['e0'], []]);
    // Its attempt fails: it waits again, behind the third, for what is left of its time.
    second.hold.leave();
    expect(third.log).toEqual(['e0']);
    second.placement.find();
    pass(300);
    expect(second.log).toEqual(['e0']);
    pass(200);
    expect(second.log[1]).toMatch(/^queue-timeout at 10\d\d$/);
    third.end();
    second.end();
    expect(ledger.inFlight(0)).toBe(0);
    expect(live.waitingCount).toBe(0);
  });

  it('that comes free goes to the first who can take it, and no one loses his turn', () => {
    const live = open({ limits: { requests: 1, queueTimeoutMs: 1000 } }, 1);
    const seekers = Array.from({ length: 4 }, () => new Seeker(live));
    for (const seeker of seekers) seeker.placement.find();
    // Woken without a place to take: the order stays.
    for (let i = 0; i < 3; i += 1) live.apply(live.snapshot);
    const order: number[] = [];
    for (let i = 0; i < 4; i += 1) {
      const index = seekers.findIndex(({ hold }) => hold.endpoint !== null);
      order.push(index);
      seekers[index]!.end();
    }
    expect(order).toEqual([0, 1, 2, 3]);
  });

  it('is never one too many on an endpoint that was passed over for a failed connect', () => {
    const live = open({ limits: { perEndpoint: 1, queueTimeoutMs: 1000 } }, 2);
    const [holder, mover] = [new Seeker(live), new Seeker(live)];
    holder.placement.find();
    const [held, other] = holder.log[0] === 'e0' ? [0, 1] : [1, 0];
    // The endpoint with the holder refuses a connection; then the other one fails the mover.
    live.outcomes.failed(holder.hold.endpoint!, reason('connect-refused'));
    mover.placement.find();
    expect(mover.log).toEqual([`e${other}`]);
    mover.placement.noteTried(mover.hold.endpoint!);
    const second = new Seeker(live);
    mover.hold.leave();
    second.placement.find();
    mover.placement.find();
    expect(ledger.inFlight(held)).toBe(1);
    expect(ledger.inFlight(other)).toBe(1);
    expect(mover.log).toHaveLength(1);
    for (const seeker of [holder, second, mover]) seeker.end();
  });

  it('is sought once more when idle connections could be closed for want of a descriptor', () => {
    const seeker = new Seeker(open({}, 1));
    idle.count = 2;
    expect(seeker.placement.makeRoom('EMFILE')).toBe(true);
    idle.count = 2;
    expect(seeker.placement.makeRoom('EMFILE')).toBe(false);
  });
});

describe('a snapshot', () => {
  const states = (live: LiveService, all: readonly EndpointState[]): ServiceSnapshot => ({
    ...live.snapshot,
    endpoints: live.snapshot.endpoints.map((one, i) => ({ ...one, state: all[i]! })),
  });

  it('says which endpoints went down with it, not which are down', () => {
    const live = open({}, 3);
    const apply = (...all: EndpointState[]) => live.apply(states(live, all)).map(({ id }) => id);
    expect(apply('down', 'up', 'up')).toEqual(['e0']);
    expect(apply('down', 'up', 'up')).toEqual([]);
    expect(apply('down', 'ejected', 'drain')).toEqual(['e1']);
    expect(apply('ejected', 'down', 'drain')).toEqual([]);
    expect(apply('up', 'up', 'up')).toEqual([]);
    expect(apply('down', 'down', 'up')).toEqual(['e0', 'e1']);
  });
});
