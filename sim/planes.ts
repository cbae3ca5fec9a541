// The planes of the simulator: how a world of each is run, and how a failing one is made short and told.
import { shortStory as controlStory } from './control/story.ts';
import { runControlWorld } from './control/world.ts';
import { shortStory as dataStory } from './data/story.ts';
import { udpStory } from './data/udp/story.ts';
import { runUdpWorld } from './data/udp/world.ts';
import { runWorld } from './data/world.ts';
import type { Trace } from './kernel/trace.ts';
import type { Plane } from './options.ts';
import { shortStory as registriesStory } from './registries/story.ts';
import { runRegistriesWorld } from './registries/world.ts';

export interface PlaneResult {
  /** How much was done, in words. */
  readonly done: string;
  /** Requests and sessions of the data plane; 0 in others. */
  readonly exchanges: number;
  readonly events: number;
  /** What an oracle found; empty: nothing. */
  readonly faults: readonly string[];
}

export interface PlaneOptions {
  readonly trace?: Trace;
  /** Of the control plane: plain services alone. */
  readonly isPlain?: boolean;
}

/** Runs the world of one seed. */
export async function runPlane(
  plane: Plane,
  seed: number,
  { trace, isPlain = false }: PlaneOptions = {},
): Promise<PlaneResult> {
  const options = trace === undefined ? {} : { trace };
  if (plane === 'control' || plane === 'registries') {
    const result =
      plane === 'control'
        ? await runControlWorld(seed, { ...options, isGuided: !isPlain })
        : await runRegistriesWorld(seed, options);
    const { questions, settledMs, steps } = result;
    const done = `${steps} steps, ${questions} questions, settled in ${settledMs / 1000} s`;
    return { ...result, done, exchanges: 0 };
  }
  const run = plane === 'udp' ? runUdpWorld : runWorld;
  const result = await run(seed, options);
  return { ...result, done: `${result.exchanges} exchanges` };
}

const STORIES = {
  data: dataStory,
  udp: udpStory,
  control: controlStory,
  registries: registriesStory,
} as const;

/** The world of a failing seed made as small as it fails in the same way, a sentence a line. */
export async function tellPlane(plane: Plane, seed: number): Promise<readonly string[]> {
  return (await STORIES[plane](seed)).lines;
}
