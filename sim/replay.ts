// One seed of `npm run sim`: run, and described where an oracle finds something.
import { Trace } from './kernel/trace.ts';
import type { Plane, SimOptions } from './options.ts';
import { runPlane, tellPlane } from './planes.ts';

/** Runs one seed and tells of it; true when nothing was found. */
export async function runSeed(
  plane: Plane,
  seed: number,
  { trace: isTraced, plain: isPlain }: SimOptions,
): Promise<boolean> {
  const print = isTraced ? (line: string) => console.log(line) : null;
  const trace = new Trace({ keep: false, print });
  const { done, events, faults } = await runPlane(plane, seed, { trace, isPlain });
  console.log(`${plane} seed ${seed}: ${done}, ${events} events, ${faults.length} faults`);
  for (const fault of faults) console.log(`  ${fault}`);
  if (faults.length > 0 && !isTraced && !isPlain) {
    console.log('in short:');
    for (const line of await tellPlane(plane, seed)) console.log(`  ${line}`);
  }
  return faults.length === 0;
}
