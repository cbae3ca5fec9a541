// `npm run sim -- --mutants`: each fault of the lists is put into a copy of the sources, alone, and worlds
// are run until an oracle finds it. What is not found within a minute is a hole in the simulator.
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { knownMutants } from './known.ts';
import type { Mutant } from './mutant.ts';

const SECONDS_MAX = 60;
/** No world takes so long, on a busy machine either, ms. */
const STUCK_MS = 20_000;
const root = join(import.meta.dirname, '../..');
/** What a world needs. */
const COPIED = ['src', 'sim', 'test/support', 'package.json'];

/** Where each plane's worlds are run until one fails. */
const HUNTS: Readonly<Record<Mutant['plane'], string>> = {
  data: 'sim/mutants/hunt.ts',
  udp: 'sim/mutants/hunt-udp.ts',
  control: 'sim/mutants/hunt-control.ts',
  registries: 'sim/mutants/hunt-registries.ts',
};

export interface MutantOptions {
  /** data, control, both, udp, registries or all. */
  readonly plane: string;
  /** A part of the names of those that are tried; '' for all. */
  readonly only: string;
}

interface Found {
  readonly seeds: number;
  readonly ms: number;
  readonly fault: string;
}

/** Prints a line for each fault; returns 1 when one was not found. Throws where a source has moved. */
export async function runMutants({ plane, only }: MutantOptions): Promise<number> {
  const isOf = (one: Mutant): boolean =>
    plane === 'all' ||
    plane === one.plane ||
    (plane === 'both' && (one.plane === 'data' || one.plane === 'control'));
  const mutants = knownMutants.filter((one) => isOf(one) && one.name.includes(only));
  for (const mutant of mutants) mutated(mutant);
  let missed = 0;
  for (const mutant of mutants) {
    const { seeds, ms, fault } = await hunt(mutant);
    if (fault === '') missed += 1;
    const how = fault === '' ? `NOT FOUND in ${seeds} seeds` : `found after ${seeds} seeds`;
    const text = fault
      .split('\n')[0]!
      .replace(/^[\d.]+ ms: /, '')
      .slice(0, 100);
    print(`${mutant.name}: ${how}, ${(ms / 1000).toFixed(1)} s  ${text}`);
  }
  print(`${mutants.length - missed} of ${mutants.length} found`);
  return missed === 0 ? 0 : 1;
}

/** The text of the file with the fault; throws where the file has moved. */
export function mutated({ name, file, find, replace }: Mutant): string {
  const text = readFileSync(join(root, file), 'utf8');
  const count = text.split(find).length - 1;
  if (count !== 1) throw new Error(`mutant ${name}: ${file} has its text ${count} times, not once`);
  return text.replace(find, () => replace);
}

async function hunt(mutant: Mutant): Promise<Found> {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-mutant-'));
  try {
    for (const part of COPIED) cpSync(join(root, part), join(folder, part), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    writeFileSync(join(folder, mutant.file), mutated(mutant));
    return await run(join(folder, HUNTS[mutant.plane]));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function run(file: string): Promise<Found> {
  const startMs = performance.now();
  const child = spawn(process.execPath, [file, String(SECONDS_MAX)], { stdio: 'pipe' });
  let out = '';
  let errors = '';
  child.stdout.on('data', (bytes) => {
    out += String(bytes);
  });
  child.stderr.on('data', (bytes) => {
    errors += String(bytes);
  });
  // A fault may make an event that never ends: that is found as well.
  let timer = setTimeout(() => child.kill('SIGKILL'), STUCK_MS);
  child.stdout.on('data', () => {
    clearTimeout(timer);
    timer = setTimeout(() => child.kill('SIGKILL'), STUCK_MS);
  });
  return new Promise((resolve) => {
    child.on('close', () => {
      clearTimeout(timer);
      const ms = Math.round(performance.now() - startMs);
      const line = out.trim().split('\n').at(-1) ?? '';
      const how = errors === '' ? 'an event never ends' : `the run breaks: ${errors.slice(0, 200)}`;
      resolve(line.startsWith('{') ? JSON.parse(line) : { seeds: seedOf(line), ms, fault: how });
    });
  });
}

/** Of the line that was printed when the run stopped. */
function seedOf(line: string): number {
  return Number(/^seed (\d+)$/.exec(line)?.[1] ?? 1);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
