// Fresh seeds of `npm run sim`, one after the other, and how many exchanges they come to.
import { collectBetween } from './kernel/collect.ts';
import type { Plane, SimOptions } from './options.ts';
import { runPlane } from './planes.ts';

export interface Failed {
  readonly plane: Plane;
  readonly seed: number;
  readonly faults: readonly string[];
}

/** Tries fresh seeds, and stops at the first that fails, which it returns; null: none did. */
export async function runFresh({
  planes,
  seconds,
  plain: isPlain,
}: SimOptions): Promise<Failed | null> {
  const first = Math.floor(Math.random() * 2 ** 31);
  const startMs = performance.now();
  const tookMs = (): number => performance.now() - startMs;
  let exchanges = 0;
  let warm: Spent | null = null;
  let runs = 0;
  for (; tookMs() < seconds * 1000; runs += 1) {
    const plane = planes[runs % planes.length]!;
    const seed = first + runs;
    const result = await runPlane(plane, seed, { isPlain });
    collectBetween();
    exchanges += result.exchanges;
    if (runs + 1 === WARM_RUNS) warm = spentOn(exchanges);
    const { faults } = result;
    if (faults.length > 0) return { plane, seed, faults };
  }
  const speed =
    exchanges === 0 ? '' : `${exchanges} exchanges, ${speedText(spentOn(exchanges), warm)}, `;
  console.log(`${runs} seeds from ${first}: ${speed}no fault`);
  return null;
}

/** V8 compiles most of what it compiles in the first runs, which cost two to three times as much for it. */
const WARM_RUNS = 100;

interface Spent {
  readonly exchanges: number;
  /** Processor time of all threads of the process, those of the garbage collector and the compiler as well. */
  readonly us: number;
}

function spentOn(exchanges: number): Spent {
  const { user, system } = process.cpuUsage();
  return { exchanges, us: user + system };
}

/** `warm`: after the first runs, where there were as many. */
function speedText(all: Spent, warm: Spent | null): string {
  const text = `${perSecond(all)} a second of CPU time`;
  if (warm === null || warm.exchanges === all.exchanges) return text;
  const after = { exchanges: all.exchanges - warm.exchanges, us: all.us - warm.us };
  return `${text} (${perSecond(after)} after the first ${WARM_RUNS} seeds)`;
}

function perSecond({ exchanges, us }: Spent): number {
  return Math.round(exchanges / (us / 1e6));
}
