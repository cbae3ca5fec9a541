// What can be fuzzed, and what holds for every target: an input is answered, by a result or by an
// error that was meant, within a time that does not grow with the oddness of the input.
import { ok } from 'node:assert/strict';
import { seededRandom } from '../../src/base/prng.ts';
import { mutated } from './mutation.ts';

export interface FuzzTarget {
  readonly name: string;
  /** Good inputs. */
  readonly seeds: readonly string[];
  /** Words of their language. */
  readonly morsels: readonly string[];
  /** In place of `mutated`, where the language has a structure of its own. */
  readonly mutate?: typeof mutated;
  /** Throws where a rule is broken. */
  readonly check: (input: string) => Promise<void> | void;
  /** Ends what the target started. */
  readonly close?: () => Promise<void>;
}

/** CPU time of one input; the longest take some ten milliseconds. */
const CPU_MS_MAX = 3000;

/** The input of this seed. */
export function inputOf({ seeds, morsels, mutate = mutated }: FuzzTarget, seed: number): string {
  const random = seededRandom(seed);
  // The generator's first draws of neighbouring seeds are alike.
  for (let i = 0; i < 4; i += 1) random();
  return mutate(random, seeds, morsels);
}

/** Checks one input; throws with what replays it. */
export async function checkInput(target: FuzzTarget, input: string, what: string): Promise<void> {
  const before = process.threadCpuUsage();
  try {
    await target.check(input);
    const { user, system } = process.threadCpuUsage(before);
    ok((user + system) / 1000 < CPU_MS_MAX, `took ${Math.round((user + system) / 1000)} ms`);
  } catch (error) {
    const shown = input.length > 2000 ? `${input.slice(0, 2000)}...` : input;
    const message = `${target.name}, ${what}: ${JSON.stringify(shown)}`;
    throw new Error(message, { cause: error });
  }
}

export async function fuzzTarget(target: FuzzTarget, seed: number): Promise<void> {
  await checkInput(target, inputOf(target, seed), `seed ${seed}`);
}
