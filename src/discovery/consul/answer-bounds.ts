// How much of an answer of Consul is taken, by what was asked; and instances brought within bounds
// one by one, so that a strange one spoils nothing for the others. What passes here has the types that
// translate.ts says. Pure.
import { CodedError } from '../../base/coded-error.ts';
import { type Fields, fieldsOf, isFields, listOf } from '../../base/foreign.ts';
import { BOUNDS, type Bound, formatBound } from '../../model/bounds.ts';
import { type Check, type Entry, translateEarly } from './translate.ts';

export interface AnswerBounds {
  readonly bytes: Bound;
  readonly items: Bound;
  readonly itemBytes: Bound;
  /** What is made of each element; `tell` takes what was left out of it. */
  readonly shape: (item: unknown, tell: (excess: string) => void) => unknown;
}

/** The bounds of the answer to a question for this path; `tagPrefix` as in translate.ts. */
export function boundsOf(path: string, tagPrefix: string): AnswerBounds {
  const plain: AnswerBounds = {
    bytes: BOUNDS.consulAnswer,
    items: BOUNDS.consulItems,
    itemBytes: BOUNDS.consulItem,
    shape: (item) => item,
  };
  // Many keys end with a slash; the overlay is one.
  if (path.startsWith('/v1/kv/') && !path.endsWith('/')) {
    return { ...plain, bytes: BOUNDS.consulKey, itemBytes: BOUNDS.consulKey };
  }
  const instance: AnswerBounds['shape'] = (item, tell) => {
    const bounded = boundedInstance(item, tell);
    translateEarly(bounded, tagPrefix);
    return bounded;
  };
  const items = BOUNDS.consulInstances;
  if (path.startsWith('/v1/health/service/')) return { ...plain, items, shape: instance };
  if (path.startsWith('/v1/query/')) {
    // Its instances are one member among others, which is parsed as a whole.
    const shape: AnswerBounds['shape'] = (member, tell) => {
      if (!Array.isArray(member)) return member;
      if (member.length > items.max) throw new CodedError('too-many', 'too many');
      return member.map((item) => instance(item, tell));
    };
    return { ...plain, bytes: BOUNDS.consulQuery, itemBytes: BOUNDS.consulQuery, items, shape };
  }
  if (path.startsWith('/v1/health/state/')) return { ...plain, shape: boundedCheck };
  return plain;
}
type Tell = (excess: string) => void;

/**
 * An instance with what is of another type than it should be, or too much, taken out; null where it
 * is too much as a whole.
 */
export function boundedInstance(item: unknown, tell: Tell): Entry | null {
  const { Node, Service, Checks } = fieldsOf(item);
  const node = textsOf(fieldsOf(Node), ['Node', 'Address']);
  const service = fieldsOf(Service);
  const names = textsOf(service, ['ID', 'Address']);
  const label = `instance ${(names.ID ?? '').slice(0, LABEL_CHARS)}`;
  if ([...Object.values(node), ...Object.values(names)].some((name) => name.length > NAME.max)) {
    tell(`${label}: left out: its id, node or address is longer than ${NAME.max}`);
    return null;
  }
  const checks = listOf(Checks);
  if (checks.length > BOUNDS.consulChecks.max) {
    tell(`${label}: left out: it has more than ${BOUNDS.consulChecks.max} checks`);
    return null;
  }
  const weights = numbersOf(fieldsOf(service.Weights), ['Passing', 'Warning']);
  const cut = (what: string, bound: Bound): void => {
    tell(`${label}: ${what} are not all read: at most ${formatBound(bound)}`);
  };
  return {
    Node: { ...node, ...numbersOf(fieldsOf(Node), ['ModifyIndex']) },
    Service: {
      ...names,
      ...numbersOf(service, ['Port', 'ModifyIndex']),
      ...tagsOf(service, cut),
      Weights: weights,
    },
    // What is no check says nothing.
    Checks: checks.filter(isFields).map(boundedCheck),
  };
}

const NAME = BOUNDS.consulName;
const LABEL_CHARS = 64;

function tagsOf({ Tags, Meta }: Fields, cut: (what: string, bound: Bound) => void) {
  const { consulTags: many, consulTag: long } = BOUNDS;
  const tags = listOf(Tags).filter(isText);
  const meta = Object.entries(fieldsOf(Meta)).filter((pair) => pair.every(isText));
  if (tags.length > many.max || meta.length > many.max) cut('its tags or Meta', many);
  const isShort = (text: string) => text.length <= long.max;
  const firstTags = tags.slice(0, many.max);
  const firstMeta = meta.slice(0, many.max) as [string, string][];
  const kept = {
    tags: firstTags.filter(isShort),
    meta: firstMeta.filter((one) => one.every(isShort)),
  };
  const before = firstTags.length + firstMeta.length;
  if (kept.tags.length + kept.meta.length < before) cut('its long tags or Meta', long);
  return { Tags: kept.tags, Meta: Object.fromEntries(kept.meta) };
}

const CHECK_TEXTS = [
  'Node',
  'CheckID',
  'Name',
  'Status',
  'Output',
  'Notes',
  'ServiceName',
] as const;

/** A check with texts that are some. A long output is cut: its beginning tells what is wrong. */
function boundedCheck(item: unknown): Check {
  const check = fieldsOf(item);
  const { max } = BOUNDS.consulOutput;
  const texts = textsOf(check, CHECK_TEXTS);
  const { Output = '', Notes = '' } = texts;
  const isLong = Output.length > max || Notes.length > max;
  const cut = isLong ? { Output: Output.slice(0, max), Notes: Notes.slice(0, max) } : {};
  return { ...texts, ...cut, ...numbersOf(check, ['ModifyIndex']) };
}

function textsOf<K extends string>(fields: Fields, keys: readonly K[]): Partial<Record<K, string>> {
  return only(fields, keys, isText);
}

function numbersOf<K extends string>(
  fields: Fields,
  keys: readonly K[],
): Partial<Record<K, number>> {
  return only(fields, keys, (value) => typeof value === 'number');
}

function only<K extends string, T>(
  fields: Fields,
  keys: readonly K[],
  is: (value: unknown) => value is T,
): Partial<Record<K, T>> {
  const found: Partial<Record<K, T>> = {};
  for (const key of keys) {
    const value = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (is(value)) found[key] = value;
  }
  return found;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
