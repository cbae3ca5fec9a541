// What is to be measured, by the command line:
//   GROUP...        of bench/cases.ts: http, tcp, tls, h2, grpc, websocket
//   --case NAME     (repeatable) of bench/cases.ts; without a case or a group, all
//   --against NAME  (repeatable) a program to compare with; default all. HAProxy is always there
//   --rounds N      5;  --seconds N  of each round, 4
//   --before DIR    another checkout of this project, to compare with as `before`
//   --json FILE     everything measured, here as well
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Program } from './against/program.ts';
import { upriver, upriverIn } from './against/upriver.ts';
import { type Case, cases, groups, idleCases } from './cases.ts';
import { BASE } from './report.ts';

export interface Plan {
  readonly rounds: number;
  readonly seconds: number;
  readonly cases: readonly Case[];
  readonly idleCases: readonly Case[];
  readonly programs: readonly Program[];
  /** '' for none. */
  readonly json: string;
}

/** Ends the process where the command line is wrong. */
export function readPlan(known: readonly Program[]): Plan {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      case: { type: 'string', multiple: true, default: [] },
      against: { type: 'string', multiple: true },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
      before: { type: 'string', default: '' },
      json: { type: 'string', default: '' },
    },
  });
  const all = [...cases, ...idleCases];
  const programs = known.map(({ name }) => name);
  const names = oneOf(
    '--case ',
    values.case,
    all.map(({ name }) => name),
  );
  const wantedGroups = oneOf('', positionals, groups);
  const against = oneOf('--against ', values.against ?? programs, programs);
  const isAll = names.length + wantedGroups.length === 0;
  const isWanted = ({ name, group }: Case) =>
    isAll || names.includes(name) || wantedGroups.includes(group);
  return {
    rounds: count('rounds', values.rounds),
    seconds: count('seconds', values.seconds),
    cases: cases.filter(isWanted),
    idleCases: idleCases.filter(isWanted),
    json: values.json,
    programs: [
      ...known.filter(({ name }) => [upriver.name, BASE, ...against].includes(name)),
      ...(values.before === '' ? [] : [upriverIn(resolve(values.before), 'before')]),
    ],
  };
}

function oneOf(flag: string, given: readonly string[], names: readonly string[]) {
  for (const name of given) {
    if (!names.includes(name)) misuse(`${flag}${name}: expected one of ${names.join(', ')}`);
  }
  return given;
}

function count(flag: string, text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) misuse(`--${flag} ${text}: expected 1 or more`);
  return number;
}

function misuse(message: string): never {
  console.error(`bench: ${message}`);
  process.exit(2);
}
