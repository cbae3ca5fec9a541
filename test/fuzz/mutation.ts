// Makes odd inputs from good ones: by cutting, doubling and splicing text, and where it is JSON by
// putting odd values in the place of any other. Everything comes from one generator of chance.
import type { Random } from '../../src/base/prng.ts';

export const below = (random: Random, end: number): number => Math.floor(random() * end);
export const pick = <T>(random: Random, list: readonly T[]): T => list[below(random, list.length)]!;

/** Inputs are long enough for every bound on a part, and short enough for many a second. */
const INPUT_CHARS_MAX = 200_000;

/** What programs have stumbled over before. */
const TEXTS = [
  ...[
    '',
    ' ',
    '\0',
    '\x1b[31m',
    '\n',
    '\r\n',
    '\u2028',
    '\ud800',
    '\ufeff',
    '\u202e',
    '..',
    '.',
    '/',
  ],
  ...['__proto__', 'constructor', 'toString', 'null', 'true', '-1', '0', '1e999', '9'.repeat(400)],
  ...['NaN', 'Infinity', '0x10', '=1+1', '<b>', '%00', '%', '::', '[::]', '127.1', '0:80', '*'],
  ...['x'.repeat(600), 'x'.repeat(5000), '/'.repeat(300), '.'.repeat(300), ' '.repeat(3000)],
  ...[
    'upriver.',
    'upriver.=',
    'upriver.listen',
    'upriver.listen=0:1936',
    'upriver.weight=1e9',
    `upriver.weight=${'9'.repeat(400)}`,
  ],
  ...['upriver.__proto__=1', 'upriver.listen.a.b=1', 'upriver.retry.on=502,,', 'upriver.health=x'],
] as const;
const VALUES: readonly unknown[] = [
  ...[null, true, 0, -1, 1.5, 65_536, 1e308, 2 ** 53, [], {}, [null], [[]], { a: null }],
  ...[{ length: 5 }, { toString: 1 }, ['upriver.listen=80'], [5], 'x', ''],
];

/** A mutation of one of the seeds, with morsels of their language. */
export function mutated(
  random: Random,
  seeds: readonly string[],
  morsels: readonly string[],
): string {
  let text = pick(random, seeds);
  const steps = 1 + below(random, 4);
  for (let i = 0; i < steps; i += 1) {
    const changed = random() < 0.6 ? withOddValue(random, text) : null;
    text = changed ?? spliced(random, text, { seeds, morsels });
  }
  return text.slice(0, INPUT_CHARS_MAX);
}

function spliced(
  random: Random,
  text: string,
  from: { seeds: readonly string[]; morsels: readonly string[] },
): string {
  const at = below(random, text.length + 1);
  const end = Math.min(text.length, at + 1 + below(random, 12));
  const part = text.slice(at, end);
  const morsel = pick(random, random() < 0.5 ? from.morsels : TEXTS);
  switch (below(random, 7)) {
    case 0:
      return text.slice(0, at) + morsel + text.slice(at);
    case 1:
      return text.slice(0, at) + morsel + text.slice(end);
    case 2:
      return text.slice(0, at) + text.slice(end);
    case 3:
      return text.slice(0, at) + part.repeat(1 + below(random, 300)) + text.slice(end);
    case 4:
      return text.slice(0, at) + String.fromCharCode(below(random, 256)) + text.slice(at + 1);
    case 5:
      return text.slice(0, at) + morsel.repeat(1 + below(random, 200)) + text.slice(at);
    default: {
      const other = pick(random, from.seeds);
      return text.slice(0, at) + other.slice(below(random, other.length + 1));
    }
  }
}

type Holder = Record<PropertyKey, unknown>;

/** JSON with an odd value, or a key or element more or less, at any place; null for other text. */
function withOddValue(random: Random, text: string): string | null {
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch {
    return null;
  }
  const whole: Holder = { root };
  const places = placesOf(whole, []);
  const { holder, key } = pick(random, places);
  const odd = random() < 0.5 ? pick(random, TEXTS) : structuredClone(pick(random, VALUES));
  const kind = below(random, 4);
  if (kind === 0 && Array.isArray(holder)) holder.splice(Number(key), 1);
  else if (kind === 1 && Array.isArray(holder)) holder.push(structuredClone(holder[Number(key)]));
  else if (kind === 2) Object.defineProperty(holder, pick(random, TEXTS), writable(odd));
  else Object.defineProperty(holder, key, writable(odd));
  return JSON.stringify(whole.root) ?? 'null';
}

function writable(value: unknown): PropertyDescriptor {
  return { value, writable: true, enumerable: true, configurable: true };
}

interface Place {
  readonly holder: Holder;
  readonly key: PropertyKey;
}

function placesOf(holder: Holder, found: Place[]): Place[] {
  for (const [key, value] of Object.entries(holder)) {
    found.push({ holder, key });
    // A map or a list.
    if (typeof value === 'object' && value !== null) placesOf(value as Holder, found);
  }
  return found;
}
