// `npm run sim -- --mutants`: each fault of the lists is put into a copy of the sources, alone, and worlds
// are run until an oracle finds it. What is not found within a minute of CPU time is a hole in the simulator.
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { knownMutants } from './known.ts';
import type { Mutant } from './mutant.ts';

/** Of CPU time of one process, so that other work on the machine does not count. */
const SECONDS_MAX = 60;
/** No world takes so long, on a busy machine either, ms. */
const STUCK_MS = 20_000;
/** As `npm run sim` runs worlds. */
const NURSERY = [
  ...['--expose-gc', '--initial-old-space-size=256'],
  ...['--min-semi-space-size=128', '--max-semi-space-size=128'],
];
const NOTHING_RUN = { seeds: 1, ms: 0, fault: '' };
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
  /** The seed that hunts begin with. */
  readonly first: number;
}

interface Found {
  readonly seeds: number;
  /** Of CPU time. */
  readonly ms: number;
  readonly fault: string;
}

/**
 * Prints a line for each fault; returns 1 when one was not found, 2 where none has the name. Throws where a
 * source has moved.
 */
export async function runMutants({ plane, only, first }: MutantOptions): Promise<number> {
  const isOf = (one: Mutant): boolean =>
    plane === 'all' ||
    plane === one.plane ||
    (plane === 'both' && (one.plane === 'data' || one.plane === 'control'));
  const mutants = knownMutants.filter((one) => isOf(one) && one.name.includes(only));
  if (mutants.length === 0) {
    print(`sim: --mutant ${only}: expected a part of the name of a known fault`);
    return 2;
  }
  for (const mutant of mutants) mutated(mutant);
  const folder = copySources();
  try {
    return (await huntAll(folder, mutants, first)) ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** True when all were found. */
async function huntAll(
  folder: string,
  mutants: readonly Mutant[],
  first: number,
): Promise<boolean> {
  let missed = 0;
  for (const mutant of mutants) {
    const { seeds, ms, fault } = await hunt(folder, mutant, first);
    if (fault === '') missed += 1;
    const how = fault === '' ? `NOT FOUND in ${seeds} seeds` : `found after ${seeds} seeds`;
    const text = fault
      .split('\n')[0]!
      .replace(/^[\d.]+ ms: /, '')
      .slice(0, 100);
    print(`${mutant.name}: ${how}, ${(ms / 1000).toFixed(1)} s  ${text}`);
  }
  print(`${mutants.length - missed} of ${mutants.length} found`);
  return missed === 0;
}

/** What a world needs, in a folder of its own. */
function copySources(): string {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-mutant-'));
  for (const part of COPIED) cpSync(join(root, part), join(folder, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

/** The text of the file with the fault; throws where the file has moved. */
export function mutated({ name, file, find, replace }: Mutant): string {
  const text = readFileSync(join(root, file), 'utf8');
  const count = text.split(find).length - 1;
  if (count !== 1) throw new Error(`mutant ${name}: ${file} has its text ${count} times, not once`);
  return text.replace(find, () => replace);
}

/** Puts the fault into the copy, and takes it out again. */
async function hunt(folder: string, mutant: Mutant, first: number): Promise<Found> {
  const file = join(folder, mutant.file);
  const whole = readFileSync(file);
  writeFileSync(file, mutated(mutant));
  const found = await run(join(folder, HUNTS[mutant.plane]), first);
  writeFileSync(file, whole);
  return found;
}

function run(file: string, first: number): Promise<Found> {
  const args = [...NURSERY, file, String(SECONDS_MAX), String(first)];
  const child = spawn(process.execPath, args, { stdio: 'pipe' });
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
      const line = out.trim().split('\n').at(-1) ?? '';
      const { isDone = false, ...found } = line.startsWith('{') ? JSON.parse(line) : NOTHING_RUN;
      const how = errors === '' ? 'an event never ends' : `the run breaks: ${errors.slice(0, 200)}`;
      resolve(isDone ? found : { ...found, fault: how });
    });
  });
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
