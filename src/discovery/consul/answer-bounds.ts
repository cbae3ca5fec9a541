// How much of an answer of Consul is taken, by what was asked; and instances brought within bounds
// one by one, so that a strange one spoils nothing for the others. Pure.
import { BOUNDS, type Bound, formatBound } from '../../model/bounds.ts';
import { translateEarly } from './translate.ts';

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
  if (path.startsWith('/v1/kv/')) {
    return { ...plain, bytes: BOUNDS.consulKey, itemBytes: BOUNDS.consulKey };
  }
  if (path.startsWith('/v1/health/service/')) {
    const shape: AnswerBounds['shape'] = (item, tell) => {
      const instance = boundedInstance(item, tell);
      translateEarly(instance, tagPrefix);
      return instance;
    };
    return { ...plain, items: BOUNDS.consulInstances, shape };
  }
  return plain;
}

type Fields = Readonly<Record<string, unknown>>;

/** An instance with what is too much taken out; null where it is too much as a whole. */
export function boundedInstance(item: unknown, tell: (excess: string) => void): unknown {
  if (!isFields(item)) return item;
  const { Node, Service, Checks } = item;
  const node = isFields(Node) ? Node : {};
  const service = isFields(Service) ? Service : {};
  const names = [node.Node, node.Address, service.ID, service.Address];
  const label = `instance ${short(service.ID)}`;
  if (names.some((name) => isLong(name, BOUNDS.consulName))) {
    tell(`${label}: left out: its id, node or address is longer than ${BOUNDS.consulName.max}`);
    return null;
  }
  if (Array.isArray(Checks) && Checks.length > BOUNDS.consulChecks.max) {
    tell(`${label}: left out: it has more than ${BOUNDS.consulChecks.max} checks`);
    return null;
  }
  const cut = (what: string, bound: Bound): void => {
    tell(`${label}: ${what} are not all read: at most ${formatBound(bound)}`);
  };
  return {
    ...item,
    ...(isFields(Service) ? { Service: boundedService(Service, cut) } : {}),
    ...(Array.isArray(Checks) ? { Checks: Checks.map(boundedCheck) } : {}),
  };
}

function boundedService(service: Fields, cut: (what: string, bound: Bound) => void): Fields {
  const { Tags, Meta } = service;
  const tags = Array.isArray(Tags) ? (Tags as readonly unknown[]) : [];
  const meta = isFields(Meta) ? Object.entries(Meta) : [];
  const { consulTags: many, consulTag: long } = BOUNDS;
  if (tags.length > many.max || meta.length > many.max) cut('its tags or Meta', many);
  const isShort = (text: unknown) => !isLong(text, long);
  const keptTags = tags.slice(0, many.max).filter(isShort);
  const keptMeta = meta.slice(0, many.max).filter((pair) => pair.every(isShort));
  const dropped = Math.min(tags.length, many.max) + Math.min(meta.length, many.max);
  if (keptTags.length + keptMeta.length < dropped) cut('its long tags or Meta', long);
  return {
    ...service,
    ...(Array.isArray(Tags) ? { Tags: keptTags } : {}),
    ...(isFields(Meta) ? { Meta: Object.fromEntries(keptMeta) } : {}),
  };
}

/** A long output is cut: its beginning tells what is wrong. */
function boundedCheck(check: unknown): unknown {
  if (!isFields(check)) return check;
  const { Output, Notes } = check;
  const { max } = BOUNDS.consulOutput;
  const isFine = [Output, Notes].every((text) => typeof text !== 'string' || text.length <= max);
  if (isFine) return check;
  const start = (text: unknown) => (typeof text === 'string' ? text.slice(0, max) : text);
  return { ...check, Output: start(Output), Notes: start(Notes) };
}

function isLong(text: unknown, { max }: Bound): boolean {
  return typeof text === 'string' && text.length > max;
}

function short(text: unknown): string {
  return typeof text === 'string' ? text.slice(0, 64) : '';
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
