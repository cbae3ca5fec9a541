// Runs worlds from a first seed on until one fails, or for so long; for the runner, which starts a hunt in the
// copy of the sources that has a fault. Prints each seed, and at the end one line of JSON.
import { collectBetween } from '../kernel/collect.ts';

/** `argv[2]` is how long, seconds of CPU time of all threads of the process; `argv[3]` the first seed. */
export async function hunt(
  run: (seed: number) => Promise<{ readonly faults: readonly string[] }>,
): Promise<void> {
  const cpuMsMax = Number(process.argv[2]) * 1000;
  const first = Number(process.argv[3]);
  let seeds = 0;
  let fault = '';
  while (fault === '' && cpuMs() < cpuMsMax) {
    const seed = first + seeds;
    seeds += 1;
    // The runner sees by it that worlds come to an end, and where one does not.
    process.stdout.write(`${JSON.stringify({ seeds, ms: cpuMs(), fault: '' })}\n`);
    fault = (await run(seed)).faults[0] ?? '';
    collectBetween();
  }
  process.stdout.write(`${JSON.stringify({ seeds, ms: cpuMs(), fault, isDone: true })}\n`);
}

/** Since the process began, loading and compiling as well. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return Math.round((user + system) / 1000);
}
