// Runs worlds from seed 1 on until one fails, or for so long; for the runner, which starts a hunt in the
// copy of the sources that has a fault. Prints each seed, and at the end one line of JSON.

/** `argv[2]` is how long, seconds. */
export async function hunt(
  run: (seed: number) => Promise<{ readonly faults: readonly string[] }>,
): Promise<void> {
  const seconds = Number(process.argv[2]);
  const startMs = performance.now();
  let seed = 0;
  let fault = '';
  while (fault === '' && performance.now() - startMs < seconds * 1000) {
    seed += 1;
    // The runner sees by it that worlds come to an end.
    process.stdout.write(`seed ${seed}\n`);
    fault = (await run(seed)).faults[0] ?? '';
  }
  const ms = Math.round(performance.now() - startMs);
  process.stdout.write(`${JSON.stringify({ seeds: seed, ms, fault })}\n`);
}
