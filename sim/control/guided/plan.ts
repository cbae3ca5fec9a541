// What happens to services that are guided: primaries change, endpoints move to where none may be, and who
// describes itself wants to listen elsewhere; and what happens to plain ones as well.
import type { Chance } from '../../kernel/chance.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import type { Action, Step } from '../plan.ts';
import { countOf, firstOf, variantCount } from '../universe.ts';
import { guidedShapeOf } from './shape.ts';
import { NETWORKS, PLACES } from './trust.ts';

export type GuidedAction =
  /**
   * The one before it ceases to be the primary, and `gapMs` later it is one; where that is negative, it is one
   * so much before the other ceases to.
   */
  | {
      readonly kind: 'promote';
      readonly which: number;
      readonly gapMs: number;
      readonly isNamed: boolean;
    }
  | { readonly kind: 'abdicate' }
  | { readonly kind: 'listen'; readonly place: number }
  | { readonly kind: 'roam'; readonly which: number; readonly network: number };

/** Two claim to be the primary until another one does. */
const FOR_GOOD_MS = 1e6;

const SERVICES = ['db', 'tier', 'tier', 'far', 'rogue'] as const;

const one = (chance: Chance, service: string): number =>
  firstOf(service) + chance.int(0, countOf(service) - 1);
const any = (chance: Chance): number => one(chance, chance.pick(SERVICES));
const forMs = (chance: Chance): number => chance.size(200, 40_000);

/** Each as often as its weight says. */
const MAKERS: readonly (readonly [number, (chance: Chance) => Action])[] = [
  [6, (c) => ({ kind: 'register', which: any(c), weight: c.pick([1, 1, 1, 5, 0]) })],
  [5, (c) => ({ kind: 'deregister', which: any(c) })],
  [1, (c) => ({ kind: 'move', which: any(c) })],
  [4, (c) => ({ kind: 'status', which: any(c), status: c.pick(['passing', 'critical']) })],
  [1, (c) => ({ kind: 'maintenance', which: any(c), isOn: c.happens(0.5) })],
  [6, promotion],
  [1, () => ({ kind: 'abdicate' })],
  [4, (c) => ({ kind: 'listen', place: c.int(0, PLACES.length - 1) })],
  [3, (c) => ({ kind: 'roam', which: one(c, 'far'), network: c.int(0, NETWORKS.length - 1) })],
  [
    5,
    (c) => ({
      ...{ kind: 'server', server: any(c), forMs: forMs(c) },
      how: c.pick(['refuses', 'answers 500', 'is silent']),
    }),
  ],
  [
    5,
    (c) => ({
      ...{ kind: 'operate', which: any(c) },
      word: c.pick(['drain', 'drain', 'maint', 'ready', 'weight']),
    }),
  ],
  [2, (c) => ({ kind: 'reload', variant: c.int(0, variantCount - 1) })],
  [2, (c) => ({ kind: 'worker-dies', worker: c.int(0, 1), forMs: 0 })],
];
const WEIGHTS = MAKERS.reduce((sum, [weight]) => sum + weight, 0);

/** Empty where the world has nothing of it. */
export function guidedPlanOf(kernel: Kernel, endMs: number): Step[] {
  if (guidedShapeOf(kernel) === null) return [];
  const chance = kernel.chance('guided plan');
  const steps = Array.from({ length: chance.int(5, 40) }, (): Step => {
    return { atMs: Math.round(chance.between(500, endMs)), ...draw(chance) };
  });
  const failing = chance.happens(0.6) ? failure(chance, endMs) : [];
  const doubtful = chance.happens(0.4) ? interruption(chance, endMs) : [];
  const spoken = chance.happens(0.5) ? conversation(chance, endMs) : [];
  const overruled = chance.happens(0.2) ? overruling(chance, endMs) : [];
  return [...steps, ...failing, ...doubtful, ...spoken, ...overruled];
}

function draw(chance: Chance): Action {
  let left = chance.next() * WEIGHTS;
  for (const [weight, make] of MAKERS) {
    left -= weight;
    if (left < 0) return make(chance);
  }
  return MAKERS[0]![1](chance);
}

function promotion(chance: Chance): Action {
  const kind = chance.pick(['gap', 'gap', 'overlap', 'both'] as const);
  const lengths = { gap: chance.size(1, 5000), overlap: -chance.int(1, 8000), both: -FOR_GOOD_MS };
  const gapMs = lengths[kind];
  return { kind: 'promote', which: one(chance, 'db'), gapMs, isNamed: chance.happens(0.6) };
}

/** All of one colour of `tier` fail, are back for a moment, fail again, and are back. */
function failure(chance: Chance, endMs: number): Step[] {
  const atMs = chance.int(3000, endMs - 40_000);
  const colour = chance.int(0, 1);
  const all = [firstOf('tier') + colour, firstOf('tier') + colour + 2];
  const turns = chance.int(1, 3);
  return Array.from({ length: turns }, (_, turn): Step[] => {
    const beginMs = atMs + turn * chance.between(4000, 16_000);
    const endsMs = beginMs + chance.between(1000, 8000);
    return all.flatMap((which): Step[] => {
      const [first, last] = [beginMs, endsMs].map((ms) => Math.round(ms + chance.int(0, 500)));
      return [
        { atMs: first!, kind: 'status', which, status: 'critical' },
        { atMs: last!, kind: 'status', which, status: 'passing' },
      ];
    });
  }).flat();
}

/** An operator says one thing after the other of one endpoint, and workers start again. */
function conversation(chance: Chance, endMs: number): Step[] {
  const which = any(chance);
  const words = ['drain', 'maint', 'weight', 'weight', 'ready'] as const;
  const beginMs = chance.int(2000, endMs - 20_000);
  return Array.from({ length: chance.int(2, 5) }, (_, i): Step => {
    const atMs = beginMs + i * chance.int(500, 4000);
    if (i > 0 && chance.happens(0.2)) {
      return { atMs, kind: 'worker-dies', worker: chance.int(0, 1), forMs: 0 };
    }
    const word = i === 0 ? chance.pick(['drain', 'maint'] as const) : chance.pick(words);
    return { atMs, kind: 'operate', which, word };
  });
}

/** The overlay listens where the file allows it, and then the file does no more. */
function overruling(chance: Chance, endMs: number): Step[] {
  const atMs = chance.int(3000, endMs - 8000);
  const late = chance.int(4000, 7000);
  return [
    { atMs, kind: 'reload', variant: 4 },
    { atMs: atMs + 2500, kind: 'overlay', variant: 1 },
    { atMs: atMs + late, kind: 'reload', variant: chance.pick([0, 2, 5]) },
  ];
}

/** The primary changes, often for the last time, and the agents fail just when that is heard of. */
function interruption(chance: Chance, endMs: number): Step[] {
  const atMs = chance.int(chance.happens(0.6) ? endMs - 3000 : 3000, endMs);
  const promote: Action = {
    ...{ kind: 'promote', which: one(chance, 'db'), gapMs: 1, isNamed: chance.happens(0.3) },
  };
  const trouble = chance.pick(['failing', 'limited', 'down'] as const);
  const agents = [0, 1].map((agent): Step => {
    const beginMs = atMs + chance.int(1, 5);
    return { atMs: beginMs, kind: 'agent', agent, trouble, forMs: chance.int(500, 8000) };
  });
  return [{ atMs, ...promote }, ...agents];
}

/** The step in words; `name` is of whom it is about. */
export function textOfGuided(step: GuidedAction, name: string): string {
  switch (step.kind) {
    case 'promote': {
      const shown = step.isNamed ? 'by name' : 'by node';
      if (step.gapMs === -FOR_GOOD_MS)
        return `${name} says that it is the primary (${shown}) as well`;
      const gap = `${Math.abs(step.gapMs)} ms ${step.gapMs < 0 ? 'before' : 'after'}`;
      return `${name} becomes the primary (${shown}), ${gap} the one until then ceases to be`;
    }
    case 'abdicate':
      return 'nobody is the primary any more';
    case 'listen':
      return `rogue wants to listen on ${PLACES[step.place]!.listen}`;
    case 'roam':
      return `${name} registers again at ${NETWORKS[step.network]!.address}`;
  }
}
