// Each foreign input for a moment, from fixed seeds, and everything that fuzzing found before. New
// inputs are for `npm run fuzz`; what that finds becomes a file in corpus/.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { checkInput, fuzzTarget, inputOf } from './target.ts';
import { targets } from './targets.ts';

/** What a target does in a second or two, ... */
const RUNS_USUAL = 1000;
/** ... where that is another number. */
const RUNS: Readonly<Record<string, number>> = {
  'consul-service': 1500,
  'consul-catalog': 3000,
  tags: 1500,
  overlay: 250,
  'consul-kv': 500,
  yaml: 250,
  'state-file': 5000,
  acme: 40,
  'http2-endpoint': 250,
  'grpc-answer': 250,
  'check-datagram': 150,
  'check-answer': 500,
  admin: 300,
};

interface Found {
  readonly target: string;
  /** What was wrong. */
  readonly why: string;
  readonly input: string;
}

const folder = join(import.meta.dirname, 'corpus');
const corpus = readdirSync(folder).map((file) => {
  // Our own files.
  return [file, JSON.parse(readFileSync(join(folder, file), 'utf8')) as Found] as const;
});

afterAll(async () => {
  for (const { close } of targets) await close?.();
});

describe('what was found before', () => {
  it.each(corpus)('%s', async (file, { target: name, input }) => {
    const target = targets.find((one) => one.name === name);
    expect(target, `${file}: no target ${name}`).toBeDefined();
    await checkInput(target!, input, file);
  });
});

describe('fuzzing for a moment', () => {
  it.each(targets.map((target) => [target.name, target] as const))(
    'finds nothing in %s',
    { timeout: 60_000 },
    async (name, target) => {
      const runs = RUNS[name] ?? RUNS_USUAL;
      for (const seed of target.seeds) await checkInput(target, seed, 'a good input');
      for (let seed = 0; seed < runs; seed += 1) await fuzzTarget(target, seed);
    },
  );

  it('makes the same input from the same seed', () => {
    for (const target of targets) expect(inputOf(target, 5)).toBe(inputOf(target, 5));
  });
});
