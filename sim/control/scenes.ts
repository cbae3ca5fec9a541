// Sequences of steps that belong together: what chance alone brings about too seldom. Their steps are
// steps of the plan like all others, so that a failing run is made short in the same way.
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Action, Step } from './plan.ts';
import { countOf, DESCRIBED_PORTS, firstOf, PLAIN_COUNT, variantCount } from './universe.ts';

type Scene = (chance: Chance, atMs: number) => Step[];

/** Runs in which a service of large answers changes as fast as it can. */
const LARGE_SHARE = 0.14;
/** Runs in which all of a service comes and goes, and each second read is huge. */
const AVALANCHE_SHARE = 0.06;
/** Runs in which instances of a service take each other's place within milliseconds. */
const RELAY_SHARE = 0.2;
/** Runs at whose end instances and failures of checks come and go within milliseconds. */
const FLASH_SHARE = 0.3;
/** So long before the last fault may go on flashes begin: little happens afterwards that would hide what is left. */
const FLASH_BEFORE_MS = { min: 8000, max: 18_000 };
/** Runs at whose end the process dies while nobody can be asked: little follows that would hide what it kept. */
const LAST_AWAY_SHARE = 0.2;
/** So long before the last fault may go on it does: agents answer again after 15 s. */
const LAST_AWAY_BEFORE_MS = { min: 15_000, max: 18_000 };

/** One or two scenes, in most of the runs; and one of those that came later, in some. */
export function scenesOf(kernel: Kernel, endMs: number): Step[] {
  const chance = kernel.chance('scenes');
  const later = kernel.chance('later scenes');
  const draw = (from: Chance, list: readonly Scene[]): Step[] => {
    const atMs = from.int(5000, endMs - 30_000);
    return from.pick(list)(from, atMs);
  };
  const count = chance.happens(0.3) ? 0 : chance.int(1, 2);
  const steps = Array.from({ length: count }, () => draw(chance, SCENES)).flat();
  const all = later.happens(0.6) ? [...steps, ...draw(later, LATER_SCENES)] : steps;
  const large = kernel.chance('large answers');
  const torrents = large.happens(LARGE_SHARE) ? draw(large, [torrent]) : [];
  const avalanches = kernel.chance('avalanche');
  const flaps = avalanches.happens(AVALANCHE_SHARE) ? draw(avalanches, [avalanche]) : [];
  const relays = kernel.chance('relay');
  const swaps = relays.happens(RELAY_SHARE) ? draw(relays, [relay]) : [];
  const flashes = kernel.chance('flash');
  const ends = flashes.happens(FLASH_SHARE)
    ? flash(flashes, endMs - intOf(flashes, FLASH_BEFORE_MS))
    : [];
  const aways = kernel.chance('last away');
  const lastAway = aways.happens(LAST_AWAY_SHARE)
    ? away(aways, endMs - intOf(aways, LAST_AWAY_BEFORE_MS))
    : [];
  return [...all, ...torrents, ...flaps, ...swaps, ...ends, ...lastAway];
}

const which = (chance: Chance): number => chance.int(0, PLAIN_COUNT - 1);

interface Range {
  readonly min: number;
  readonly max: number;
}

function intOf(chance: Chance, { min, max }: Range): number {
  return chance.int(min, max);
}

function at(atMs: number, action: Action): Step {
  return { atMs: Math.round(atMs), ...action };
}

/** Some register, and then all servers but the leader are behind: they don't know of it yet. */
const behind: Scene = (chance, atMs) => {
  const steps = Array.from({ length: chance.int(1, 4) }, () => {
    const weight = chance.pick([1, 1, 5]);
    return at(atMs + chance.between(0, 1500), { kind: 'register', which: which(chance), weight });
  });
  const lagMs = chance.between(500, 4000);
  const lags = [0, 1].map((agent) => {
    const forMs = chance.int(2000, 20_000);
    return at(atMs + 1500 + lagMs, { kind: 'agent', agent, trouble: 'lag', forMs });
  });
  return [...steps, ...lags];
};

/** Answers lack somebody, and just then Consul begins anew. */
const ambush: Scene = (chance, atMs) => {
  const trouble = chance.pick(['partial', 'partial', 'doubtful'] as const);
  const agents = [0, 1].map((agent) => {
    return at(atMs + 10, { kind: 'agent', agent, trouble, forMs: chance.int(5000, 20_000) });
  });
  const cuts = [0, 1].map((agent) => at(atMs + 20, { kind: 'cut', agent }));
  return [
    at(atMs, { kind: 'ambush', backMs: chance.int(1000, 15_000) }),
    ...agents,
    ...(chance.happens(0.3) ? cuts : []),
  ];
};

/** One instance changes fifty times a second, and each answer about its service is large. */
const torrent: Scene = (chance, atMs) => {
  const one = which(chance);
  const agents = [0, 1].map((agent) => {
    return at(atMs, { kind: 'agent', agent, trouble: 'large', forMs: 5000 });
  });
  const changes = Array.from({ length: 200 }, (_, i) => {
    const weight = i % 2 === 0 ? 2 : 5;
    return at(atMs + 500 + 20 * i, { kind: 'register', which: one, weight });
  });
  return [...agents, ...changes];
};

/** All instances of a service leave and return again and again; second reads about it are huge. */
const avalanche: Scene = (chance, atMs) => {
  const service = chance.pick(['web', 'api', 'mq'] as const);
  const all = Array.from({ length: countOf(service) }, (_, i) => firstOf(service) + i);
  const agents = [0, 1].map((agent) => {
    return at(atMs, { kind: 'agent', agent, trouble: 'huge', forMs: 10_000 });
  });
  const flaps = Array.from({ length: 24 }, (_, i) => {
    const whenMs = atMs + 500 + 150 * i;
    const kind = i % 2 === 0 ? 'deregister' : 'register';
    return all.map((one) =>
      at(whenMs, kind === 'register' ? { kind, which: one, weight: 1 } : { kind, which: one }),
    );
  });
  return [...agents, ...flaps.flat()];
};

/** One instance of a service after the other is there alone; each is registered before the one before it leaves. */
const relay: Scene = (chance, atMs) => {
  const service = chance.pick(['web', 'api', 'mq'] as const);
  const count = countOf(service);
  const who = (i: number): number => firstOf(service) + (i % count);
  const everyMs = chance.int(3, 30);
  const others = Array.from({ length: count - 1 }, (_, i) => {
    return at(atMs, { kind: 'deregister', which: who(i + 1) });
  });
  const turns = Array.from({ length: chance.int(10, 60) }, (_, i) => {
    const whenMs = atMs + 1000 + everyMs * i;
    return [
      at(whenMs, { kind: 'register', which: who(i + 1), weight: 1 }),
      at(whenMs + chance.int(1, 2), { kind: 'deregister', which: who(i) }),
    ];
  });
  const first = at(atMs - 1, { kind: 'register', which: who(0), weight: 1 });
  return [first, ...others, ...turns.flat()];
};

/**
 * In one service after the other an instance is registered for some milliseconds, or its check fails for as long,
 * just after the catalog has changed; the check of another one fails meanwhile, for which the service is looked at.
 * Then all is as it was before.
 */
const flash: Scene = (chance, atMs) => {
  const services = ['web', 'api', 'mq', 'names', 'shop', 'meta'];
  return services.flatMap((service, i) => {
    const [one, other] = [firstOf(service), firstOf(service) + 1];
    const isThere = chance.happens(0.4);
    const register = (which: number): Action => ({ kind: 'register', which, weight: 1 });
    const leave: Action = { kind: 'deregister', which: other };
    /** Fails and passes in turn, and ends as it began. */
    const flips = (which: number, fromMs: number, count: number): Step[] => {
      const everyMs = chance.int(1, 3);
      return Array.from({ length: 2 * count }, (_, n) => {
        const status = n % 2 === 0 ? 'critical' : 'passing';
        return at(fromMs + n * everyMs, { kind: 'status', which, status });
      });
    };
    const fromMs = atMs + i * chance.int(300, 600);
    const comesMs = fromMs + chance.int(5, 90);
    const visit = [at(comesMs, register(other)), at(comesMs + chance.int(6, 25), leave)];
    return [
      at(atMs - 3000, register(one)),
      at(atMs - 3000, isThere ? register(other) : leave),
      at(fromMs, { kind: 'register', which: one, weight: chance.pick([2, 5]) }),
      ...(isThere ? flips(other, comesMs, chance.int(1, 4)) : visit),
      ...flips(one, comesMs + chance.int(0, 3), 1),
    ];
  });
};

/** Much changes while a worker takes its time for each message. */
const churn: Scene = (chance, atMs) => {
  const slow = at(atMs, { kind: 'worker-slow', worker: chance.int(0, 1), forMs: 12_000 });
  const steps = Array.from({ length: chance.int(8, 25) }, () => {
    const kind = chance.pick(['move', 'move', 'deregister', 'register'] as const);
    const one = which(chance);
    const action: Action =
      kind === 'register' ? { kind, which: one, weight: 1 } : { kind, which: one };
    return at(atMs + chance.between(100, 12_000), action);
  });
  return [slow, ...steps];
};

/** An operator speaks, and then the configuration is reloaded. */
const words: Scene = (chance, atMs) => {
  const spoken = Array.from({ length: chance.int(2, 6) }, () => {
    const word = chance.pick(['drain', 'maint', 'weight'] as const);
    return at(atMs + chance.between(0, 1000), { kind: 'operate', which: which(chance), word });
  });
  const variant = chance.int(0, variantCount - 1);
  const reload = at(atMs + chance.between(1100, 4000), { kind: 'reload', variant });
  const weights = Array.from({ length: 4 }, () => {
    const weight = chance.pick([1, 2, 5]);
    const action: Action = { kind: 'register', which: which(chance), weight };
    return at(atMs + chance.between(6000, 15_000), action);
  });
  return [...spoken, reload, ...weights];
};

/** The process dies while nobody can be asked, and what is registered changes meanwhile. */
const away: Scene = (chance, atMs) => {
  const trouble = chance.pick(['down', 'failing', 'limited'] as const);
  const agents = [0, 1].map((agent) => {
    return at(atMs, { kind: 'agent', agent, trouble, forMs: chance.int(4000, 15_000) });
  });
  const file = chance.pick(['as it was', 'as it was', 'cut at a line', 'torn'] as const);
  const isPowerLost = chance.happens(0.2);
  const downMs = chance.int(10, 2000);
  const crash = at(atMs + 100, { kind: 'crash', downMs, isPowerLost, file });
  const changes = Array.from({ length: chance.int(2, 6) }, () => {
    const kind = chance.pick(['deregister', 'move', 'describe'] as const);
    return at(atMs + chance.between(0, 4000), { kind, which: which(chance) });
  });
  return [...agents, crash, ...changes];
};

/** The overlay comes and goes, and the file is reloaded in between. */
const overlay: Scene = (chance, atMs) => {
  return Array.from({ length: chance.int(3, 6) }, (_, i) => {
    const atMsOfOne = atMs + i * chance.between(100, 4000);
    if (chance.happens(0.3)) {
      return at(atMsOfOne, { kind: 'reload', variant: chance.int(0, variantCount - 1) });
    }
    return at(atMsOfOne, { kind: 'overlay', variant: chance.int(0, 3) });
  });
};

/** One reload waits for a registry that does not answer, and the next has nothing to wait for. */
const reloads: Scene = (chance, atMs) => {
  const trouble = chance.pick(['silent', 'down', 'limited'] as const);
  const agents = [0, 1].map((agent) => {
    return at(atMs, { kind: 'agent', agent, trouble, forMs: chance.int(3000, 15_000) });
  });
  return [
    ...agents,
    at(atMs + 100, { kind: 'reload', variant: 2 }),
    at(atMs + chance.between(1500, 5000), { kind: 'reload', variant: chance.pick([0, 1, 4]) }),
  ];
};

/** Workers die again and again. */
const deaths: Scene = (chance, atMs) => {
  return Array.from({ length: chance.int(2, 8) }, () => {
    const worker = chance.int(0, 1);
    return at(atMs + chance.between(0, 6000), { kind: 'worker-dies', worker, forMs: 0 });
  });
};

/** Consul fills up again, and all servers but the leader are behind. */
const refill: Scene = (chance, atMs) => {
  const [downMs, backMs] = [chance.int(300, 4000), chance.int(2000, 13_000)];
  const lags = [0, 1].map((agent) => {
    const forMs = chance.int(15_000, 40_000);
    return at(atMs + chance.between(1, 500), { kind: 'agent', agent, trouble: 'lag', forMs });
  });
  return [at(atMs, { kind: 'restart-empty', downMs, backMs }), ...lags];
};

/** Consul begins anew, and again while the leader can't be asked about the first time. */
const twice: Scene = (chance, atMs) => {
  const restart = (afterMs: number): Step => {
    const [downMs, backMs] = [chance.int(300, 4000), chance.int(1000, 10_000)];
    return at(atMs + afterMs, { kind: 'restart-empty', downMs, backMs });
  };
  const againMs = chance.between(6000, 14_000);
  const forMs = chance.int(10_000, 30_000);
  return [
    restart(0),
    at(atMs + againMs, { kind: 'leaderless', forMs }),
    restart(againMs + chance.between(0, 1500)),
  ];
};

/** A service that describes itself ceases to, another program takes its port, and it does again. */
const squat: Scene = (chance, atMs) => {
  const [service, port] = chance.pick([...DESCRIBED_PORTS]);
  const describe: Action = { kind: 'describe', which: firstOf(service) };
  return [
    at(atMs, describe),
    at(atMs + chance.int(300, 2000), { kind: 'port', port, forMs: chance.int(8000, 20_000) }),
    at(atMs + chance.int(5000, 7500), describe),
  ];
};

/** Of a service one instance alone describes it, and then answers lack some. */
const alone: Scene = (chance, atMs) => {
  const [service] = chance.pick([...DESCRIBED_PORTS]);
  const one = firstOf(service);
  const agents = [0, 1].map((agent) => {
    const trouble = chance.pick(['doubtful', 'partial'] as const);
    const forMs = chance.int(5000, 20_000);
    return at(atMs + 6000, { kind: 'agent', agent, trouble, forMs });
  });
  const cuts = [0, 1].map((agent) => at(atMs + 6100, { kind: 'cut', agent }));
  const backMs = chance.int(4000, 13_000);
  const anew = at(atMs + 6000, { kind: 'restart-empty', downMs: chance.int(300, 3000), backMs });
  return [
    at(atMs, { kind: 'register', which: one + 1, weight: 1 }),
    at(atMs + 200, { kind: 'deregister', which: one }),
    at(atMs + 700, { kind: 'describe', which: one }),
    at(atMs + 2000, { kind: 'register', which: one, weight: 1 }),
    ...(chance.happens(0.5) ? [...agents, ...cuts] : [anew]),
  ];
};

/** A worker stops to read for good. */
const stuck: Scene = (chance, atMs) => {
  return [at(atMs, { kind: 'worker-hangs', worker: chance.int(0, 1), forMs: 600_000 })];
};

/**
 * One has left and comes back, and only then do the servers behind the leader say that it has left; the
 * leader was asked in between, since they lacked another one after a break.
 */
const late: Scene = (chance, atMs) => {
  const one = firstOf(chance.pick(['web', 'api', 'mq']));
  const lagMs = chance.int(8600, 9300);
  const agents = [0, 1].flatMap((agent) => [
    at(atMs + 13_500, { kind: 'agent', agent, trouble: 'lag', forMs: 18_000, lagMs }),
    at(atMs + 14_000, { kind: 'cut', agent }),
  ]);
  return [
    at(atMs, { kind: 'register', which: one, weight: 1 }),
    at(atMs, { kind: 'register', which: one + 2, weight: 1 }),
    at(atMs + 100, { kind: 'deregister', which: one + 1 }),
    at(atMs + 12_000, { kind: 'register', which: one + 1, weight: 1 }),
    ...agents,
    at(atMs + 15_200, { kind: 'deregister', which: one }),
    at(atMs + 18_500, { kind: 'register', which: one, weight: 1 }),
  ];
};

const SCENES: readonly Scene[] = [
  ...[behind, ambush, churn, words, away, overlay, reloads, deaths],
  ...[ambush, ambush, refill, refill, twice, words],
];

/** Drawn apart: the runs of older seeds stay what they were, but for these. */
const LATER_SCENES: readonly Scene[] = [squat, alone, stuck, late, late];
