// The field names that a proxy acts on, and what it does with them. All other fields pass as they
// are, and no string is ever made of their names: a few bytes of a name say which known name it
// can be at all, and that one is compared.
import { NAME_FOLDED } from './chars.ts';

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
  'content-length': 'protected',
  'transfer-encoding': 'hop',
  connection: 'hop',
  upgrade: 'hop',
  expect: 'protected',
  te: 'hop',
  'keep-alive': 'hop',
  'proxy-connection': 'hop',
  trailer: 'hop',
  via: 'protected',
  'max-forwards': 'protected',
  forwarded: 'protected',
  'x-forwarded-for': 'protected',
  'x-forwarded-proto': 'protected',
  'x-forwarded-host': 'protected',
  'x-forwarded-port': 'protected',
  'x-real-ip': 'protected',
  'x-request-id': 'protected',
  'x-client-cert-subject': 'protected',
  'x-client-cert-fingerprint': 'protected',
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

/** The id of a name that is one of ours but for `_` in place of `-`: X_Forwarded_For. */
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

/**
 * Where a name would lie in the table, by its length and three of its bytes. The factors are such
 * that no two known names meet, which the loop below asserts, and few common ones meet them.
 */
function slotOf(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  const first = NAME_FOLDED[bytes[start]!]!;
  const later = NAME_FOLDED[bytes[start + ((length * 3) >> 2)]!]!;
  const last = NAME_FOLDED[bytes[end - 1]!]!;
  return (first + later * 11 + last * 39 + length * 13) & (SLOTS - 1);
}

const SLOTS = 256;
const idBySlot = new Uint8Array(SLOTS);
for (const name of list) {
  const slot = slotOf(Buffer.from(name), 0, name.length);
  if (idBySlot[slot] !== 0) throw new Error(`field names collide: ${name} needs other factors`);
  idBySlot[slot] = FieldId[name];
}

/** The id of the token bytes[start,end), or 0. */
export function lookUp(bytes: Uint8Array, start: number, end: number): number {
  const id = idBySlot[slotOf(bytes, start, end)]!;
  if (id === 0) return 0;
  const name = list[id - 1]!;
  if (end - start !== name.length) return 0;
  let hasUnderscore = false;
  for (let i = 0; i < name.length; i += 1) {
    const byte = bytes[start + i]!;
    if (NAME_FOLDED[byte] !== name.charCodeAt(i)) return 0;
    if (byte === UNDERSCORE) hasUnderscore = true;
  }
  return hasUnderscore ? LOOKALIKE : id;
}
