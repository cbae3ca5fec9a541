// The field names that a proxy acts on, and what it does with them. All other fields pass as they
// are, and no string is ever made of their names: the parser hashes a name while it checks it.
import { NAME_HASHED } from './chars.ts';

const UNDERSCORE = 95;

/** What hop-by-hop handling (RFC 9110 section 7.6.1) does with a field. */
type Fate =
  /** Goes on to the next hop. */
  | 'pass'
  /** Belongs to this connection alone. */
  | 'hop'
  /** Goes on, and a Connection field that nominates it is refused: removing it would harm. */
  | 'protected';

const names = {
  host: 'protected',
  connection: 'hop',
  'content-length': 'protected',
  'transfer-encoding': 'hop',
  'keep-alive': 'hop',
  'proxy-connection': 'hop',
  te: 'hop',
  trailer: 'hop',
  upgrade: 'hop',
  expect: 'pass',
  via: 'pass',
  'max-forwards': 'pass',
  forwarded: 'protected',
  'x-forwarded-for': 'protected',
  'x-forwarded-proto': 'protected',
  'x-forwarded-host': 'protected',
  'x-forwarded-port': 'protected',
  'x-real-ip': 'protected',
  'x-request-id': 'pass',
  authorization: 'protected',
  cookie: 'protected',
  'set-cookie': 'protected',
  'proxy-authorization': 'hop',
  'http2-settings': 'hop',
  server: 'pass',
} as const satisfies Record<string, Fate>;

export type FieldName = keyof typeof names;

const list = Object.keys(names) as FieldName[];

/** Ids of the known names; 0 is every other name. */
export const FieldId = Object.fromEntries(list.map((name, i) => [name, i + 1])) as Readonly<
  Record<FieldName, number>
>;

/** The id that a field gets when Connection nominated it: it belongs to this connection alone. */
export const NOMINATED = list.length + 1;

/** The id of a name that is a protected one but for `_` in place of `-`: X_Forwarded_For. */
export const LOOKALIKE = NOMINATED + 1;

/** Number of ids: the length of tables by id. */
export const FIELD_IDS = LOOKALIKE + 1;

const fateOf = (wanted: Fate): Uint8Array =>
  Uint8Array.from({ length: FIELD_IDS }, (_, id) => {
    const name = list[id - 1];
    return name !== undefined && names[name] === wanted ? 1 : 0;
  });

/** 1 for ids that are never forwarded as received. */
export const HOP_BY_HOP = fateOf('hop');
HOP_BY_HOP[NOMINATED] = 1;

/** 1 for ids that a Connection field must not nominate. */
export const PROTECTED = fateOf('protected');

/** One step of the hash of a lower-cased name. */
export function hashStep(hash: number, lower: number): number {
  return (Math.imul(hash, 31) + lower) | 0;
}

const SLOTS = 1024;
const idBySlot = new Uint8Array(SLOTS);
for (const name of list) {
  let hash = 0;
  for (let i = 0; i < name.length; i += 1) hash = hashStep(hash, name.charCodeAt(i));
  const slot = slotOf(hash);
  if (idBySlot[slot] !== 0) throw new Error(`field names collide: ${name} needs a larger table`);
  idBySlot[slot] = FieldId[name];
}

function slotOf(hash: number): number {
  return (hash ^ (hash >>> 15)) & (SLOTS - 1);
}

/** The id of the name bytes[start,end) whose bytes by NAME_HASHED have this hash, or 0. */
export function lookUp(bytes: Uint8Array, start: number, end: number, hash: number): number {
  const id = idBySlot[slotOf(hash)]!;
  if (id === 0) return 0;
  const name = list[id - 1]!;
  if (end - start !== name.length) return 0;
  let hasUnderscore = false;
  for (let i = 0; i < name.length; i += 1) {
    const byte = bytes[start + i]!;
    if (NAME_HASHED[byte] !== name.charCodeAt(i)) return 0;
    if (byte === UNDERSCORE) hasUnderscore = true;
  }
  if (!hasUnderscore) return id;
  return PROTECTED[id] === 1 ? LOOKALIKE : 0;
}
