// The options of `npm run sim`: read, and refused with what was expected in the place of a wrong one.
import { parseArgs } from 'node:util';

export const PLANES = ['data', 'udp', 'control', 'registries'] as const;
export type Plane = (typeof PLANES)[number];

export interface SimOptions {
  /** Null: fresh seeds. */
  readonly seed: number | null;
  /** How long fresh seeds are tried, seconds of real time. */
  readonly seconds: number;
  /** As it was asked for: one, both or all. */
  readonly plane: string;
  /** Those that it names. */
  readonly planes: readonly Plane[];
  readonly trace: boolean;
  /** Worlds of the control plane have plain services alone, as before they drew others. */
  readonly plain: boolean;
  readonly mutants: boolean;
  /** A part of the names of the known faults that are tried; '' for all. */
  readonly mutant: string;
}

const FORMS = {
  seed: { type: 'string', wants: 'a whole number from 0' },
  seconds: { type: 'string', wants: 'a number above 0' },
  plane: { type: 'string', wants: `${PLANES.join(', ')}, both or all` },
  trace: { type: 'boolean', wants: 'no value' },
  plain: { type: 'boolean', wants: 'no value' },
  mutants: { type: 'boolean', wants: 'no value' },
  mutant: { type: 'string', wants: 'a part of the name of a known fault' },
} as const;

type Name = keyof typeof FORMS;

const NAMES = Object.keys(FORMS) as readonly Name[];

/** What the words of a command line ask for; or, as text, what is wrong with them and what was expected. */
export function simOptionsOf(args: readonly string[]): SimOptions | string {
  const parts = { args: [...args], options: FORMS, strict: false, tokens: true } as const;
  const given: Partial<Record<Name, string>> = {};
  for (const token of parseArgs({ ...parts, allowPositionals: true }).tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') return `'${token.value}': expected an option: ${allOf()}`;
    const { name, rawName, value } = token;
    if (!isName(name)) return `${rawName}: expected one of ${allOf()}`;
    const wants = `expected ${FORMS[name].wants}`;
    const isFlag = FORMS[name].type === 'boolean';
    if (isFlag && value !== undefined) return `${rawName}=${value}: ${wants}`;
    // `--seed --trace`: what follows is another option, and no value.
    const isMissing = value === undefined || value === '' || /^--\D/.test(value);
    if (!isFlag && isMissing) return `${rawName} without a value: ${wants}`;
    if (name in given) return `${rawName}: expected once`;
    given[name] = value ?? '';
  }
  return readOptions(given);
}

function readOptions(given: Partial<Record<Name, string>>): SimOptions | string {
  const wrong = (name: Name): string => `--${name} ${given[name]}: expected ${FORMS[name].wants}`;
  const { plane = 'data', seconds = '10', seed, mutant = '' } = given;
  const planes = planesOf(plane);
  if (planes.length === 0) return wrong('plane');
  if (!(numberOf(seconds) > 0)) return wrong('seconds');
  const isSeed = seed === undefined || Number.isSafeInteger(numberOf(seed));
  if (!isSeed || numberOf(seed ?? '0') < 0) return wrong('seed');
  const mutants = 'mutants' in given;
  if (mutant !== '' && !mutants) return `--mutant ${mutant}: expected together with --mutants`;
  const trace = 'trace' in given;
  const plain = 'plain' in given;
  const number = seed === undefined ? null : numberOf(seed);
  return { seed: number, seconds: numberOf(seconds), plane, planes, trace, plain, mutants, mutant };
}

/** In decimals alone; NaN for all else, what `Number` takes for 0 among it. */
function numberOf(text: string): number {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
}

function planesOf(name: string): readonly Plane[] {
  if (name === 'all') return PLANES;
  if (name === 'both') return ['data', 'control'];
  return PLANES.filter((plane) => plane === name);
}

function isName(name: string): name is Name {
  return Object.hasOwn(FORMS, name);
}

function allOf(): string {
  return NAMES.map((name) => `--${name}`).join(', ');
}

/** The command that runs one seed again. */
export function replayCommand(plane: Plane, seed: number): string {
  return `npm run sim -- --plane ${plane} --seed ${seed}`;
}
