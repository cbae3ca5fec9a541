// What the instances of a service say of themselves: tags `PREFIX.key=value` and Meta `PREFIX-key`.
// Pure. Registrants write these: every text is bounded, and one odd instance
// spoils nothing that the others say.
import { BOUNDS } from '../model/bounds.ts';
import { type ListenRule, mayListen, parseListen } from '../model/listener.ts';
import type { ServiceSettings } from './provider.ts';

/** The greatest weight that an instance can have; sums of weights stay exact. */
export const WEIGHT_MAX = 1_000_000;

/** An instance that may say something of itself. Foreign data: every field may be of another type. */
export interface Entry {
  readonly Service?: {
    readonly ID?: string;
    readonly Tags?: readonly string[] | null;
    readonly Meta?: Readonly<Record<string, string>> | null;
    /** Rises with each change of the instance. */
    readonly ModifyIndex?: number;
  } | null;
}

/** Settings that a service gives itself, and what is wrong with them. */
export interface SelfDescription {
  readonly settings: ServiceSettings | null;
  /**
   * The lowest index of a last change among the instances that say where to listen: since then at
   * the latest it is wanted. 0 where none says so. An instance keeps the index of its creation when
   * it is given another listener, so that one says nothing of who came first.
   */
  readonly order: number;
  readonly problems: readonly string[];
}

export interface Reading {
  readonly prefix: string;
  /** Whether a setting may have this value; without, every value is taken for good. */
  readonly isGood?: ((key: string, value: string) => boolean) | undefined;
  /** Where services of this registry may listen; without, a wish is no worse for its place. */
  readonly listenAllow?: readonly ListenRule[] | undefined;
}

/** The one setting that concerns an instance and not its service. */
const WEIGHT = 'weight';
/** What another service may want as well: who said so first has it. */
const WISHES: readonly string[] = ['listen', 'route.host'];
/** Where a service wants to be reached. */
const PLACES: readonly string[] = ['listen', 'route.listen'];
/** Settings of one instance, and characters of a key and value: no known setting comes near. */
const SETTINGS_MAX = BOUNDS.ownSettings.max;
const TEXT_MAX = BOUNDS.ownSetting.max;
/** Of so many values it is found out whether they are good, and of one setting so many are shown. */
const JUDGED_MAX = 64;
const SHOWN_MAX = 4;
const PROBLEMS_MAX = 20;

/**
 * The settings of a service: Meta goes before tags. Where instances differ, good values go before
 * bad ones, then the value that most instances have, then that of the instance that was changed
 * last, then the lowest.
 */
export function describeEntries(entries: readonly Entry[], reading: Reading): SelfDescription {
  const votes = new Map<string, Map<string, Vote>>();
  const problems = new Set<string>();
  for (const entry of entries) {
    const { settings, problem } = settingsOfEntry(entry, reading.prefix);
    if (problem !== '') problems.add(`instance ${nameOf(entry)}: ${problem}`);
    for (const [key, value] of settings) {
      if (key !== WEIGHT) count(votes, { key, value, entry });
      else if (parseWeight(value) === null) problems.add(weightProblem(entry, value));
    }
  }
  const chosen = new Map<string, string>();
  let order = 0;
  const judge = new Judge(reading);
  const wanted = wantedOf(votes);
  if (wanted.length < votes.size) {
    problems.add(`more than ${SETTINGS_MAX} settings, the others are left out`);
  }
  for (const [key, values] of wanted) {
    const ranked = rank(key, values, judge);
    const [value, vote] = ranked[0]!;
    chosen.set(key, value);
    if (WISHES.includes(key) && Number.isFinite(vote.oldest)) {
      order = order === 0 ? vote.oldest : Math.min(order, vote.oldest);
    }
    if (ranked.length > 1) problems.add(disagreement(key, ranked));
  }
  // Not by assignment: `__proto__` is a key like any other.
  const settings = chosen.size === 0 ? null : Object.fromEntries(chosen);
  return { settings, order, problems: [...problems].sort().slice(0, PROBLEMS_MAX) };
}

/** The weight that an instance gives itself; null where it gives none that is one. */
export function ownWeight(entry: Entry, prefix: string): number | null {
  const told = settingsOfEntry(entry, prefix).settings.get(WEIGHT);
  return told === undefined ? null : parseWeight(told);
}

interface Vote {
  readonly count: number;
  /** The latest and the earliest of the last changes of the instances that say so. */
  readonly newest: number;
  readonly oldest: number;
}

interface Cast {
  readonly key: string;
  readonly value: string;
  readonly entry: Entry;
}

function count(votes: Map<string, Map<string, Vote>>, { key, value, entry }: Cast): void {
  const values = votes.get(key) ?? new Map<string, Vote>();
  const { count = 0, newest = 0, oldest = Number.POSITIVE_INFINITY } = values.get(value) ?? {};
  const index = indexOf(entry.Service?.ModifyIndex);
  values.set(value, {
    count: count + 1,
    newest: Math.max(newest, index ?? 0),
    oldest: Math.min(oldest, index ?? oldest),
  });
  votes.set(key, values);
}

type Ranked = readonly (readonly [string, Vote])[];

function rank(key: string, values: ReadonlyMap<string, Vote>, judge: Judge): Ranked {
  const ranked = [...values].sort(byRank);
  if (ranked.length === 1) return ranked;
  const first = ranked.find(([value]) => judge.finds(key, value));
  return first === undefined ? ranked : [first, ...ranked.filter((one) => one !== first)];
}

/** Finds values good, as long as it has not looked at too many: each takes time. */
class Judge {
  private readonly reading: Reading;
  private left = JUDGED_MAX;

  constructor(reading: Reading) {
    this.reading = reading;
  }

  finds(key: string, value: string): boolean {
    this.left -= 1;
    return this.left >= 0 && isUsable(key, value, this.reading);
  }
}

type Votes = ReadonlyMap<string, ReadonlyMap<string, Vote>>;

/**
 * The settings that a service can have: where it wants to be reached, then what most instances say. Every
 * one of thousands may name others, and each of them is judged by itself later on.
 */
function wantedOf(votes: Votes) {
  const rankOf = (key: string) => {
    if (PLACES.includes(key) || WISHES.includes(key)) return Number.POSITIVE_INFINITY;
    return Math.max(...[...votes.get(key)!.values()].map(({ count }) => count));
  };
  const all = [...votes].map(([key, values]) => ({ key, values, rank: rankOf(key) }));
  all.sort((a, b) => (a.rank === b.rank ? (a.key < b.key ? -1 : 1) : b.rank - a.rank));
  return all.slice(0, SETTINGS_MAX).map(({ key, values }) => [key, values] as const);
}

/** A good value, and of a listener one that it would get by the rules. */
function isUsable(key: string, value: string, { isGood, listenAllow }: Reading): boolean {
  if (isGood?.(key, value) === false) return false;
  if (listenAllow === undefined || !PLACES.includes(key)) return true;
  // The one name that tags may listen on.
  const address = parseListen(value.replace(/^localhost:/, '127.0.0.1:'));
  return address !== null && mayListen(listenAllow, address);
}

function byRank(a: readonly [string, Vote], b: readonly [string, Vote]): number {
  return b[1].count - a[1].count || b[1].newest - a[1].newest || (a[0] < b[0] ? -1 : 1);
}

function disagreement(key: string, ranked: Ranked): string {
  const shown = ranked
    .slice(0, SHOWN_MAX)
    .map(([value, vote]) => `${short(value)} (${vote.count})`);
  const more = ranked.length > SHOWN_MAX ? `, and ${ranked.length - SHOWN_MAX} more` : '';
  return `instances disagree about ${short(key)}, the first is used: ${shown.join(', ')}${more}`;
}

function weightProblem(entry: Entry, value: string): string {
  const expected = `expected a number from 0 to ${WEIGHT_MAX}`;
  return `instance ${nameOf(entry)}: weight: '${short(value)}': ${expected}`;
}

function parseWeight(text: string): number | null {
  if (!/^\d{1,9}(\.\d{1,9})?$/.test(text)) return null;
  const weight = Number(text);
  return weight <= WEIGHT_MAX ? weight : null;
}

interface Saying {
  readonly prefix: string;
  readonly settings: ReadonlyMap<string, string>;
  /** What was left out; '' for nothing. */
  readonly problem: string;
}

/** An answer is looked at several times, and its entries do not change. */
const known = new WeakMap<Entry, Saying>();

function settingsOfEntry(entry: Entry, prefix: string): Saying {
  const before = known.get(entry);
  if (before?.prefix === prefix) return before;
  const made = { prefix, ...readSettings(entry, prefix) };
  known.set(entry, made);
  return made;
}

/** The settings of one instance; what is too much is left out, and told. */
function readSettings({ Service }: Entry, prefix: string) {
  const settings = new Map<string, string>();
  let problem = '';
  const put = (key: string, value: string): void => {
    if (key.length + value.length > TEXT_MAX) {
      problem = `tag ${short(key)}: longer than ${TEXT_MAX} characters`;
    } else if (settings.size >= SETTINGS_MAX && !settings.has(key)) {
      problem = `more than ${SETTINGS_MAX} settings`;
    } else settings.set(key, value);
  };
  for (const tag of Array.isArray(Service?.Tags) ? Service.Tags : []) {
    if (typeof tag !== 'string' || !tag.startsWith(`${prefix}.`)) continue;
    const at = tag.indexOf('=');
    const key = tag.slice(prefix.length + 1, at < 0 ? undefined : at);
    put(key, at < 0 ? 'true' : tag.slice(at + 1));
  }
  for (const [name, value] of Object.entries(Service?.Meta ?? {})) {
    // Meta keys can't hold dots: upriver-health-path is health.path.
    if (name.startsWith(`${prefix}-`) && typeof value === 'string')
      put(name.slice(prefix.length + 1).replaceAll('-', '.'), value);
  }
  return { settings, problem };
}

function nameOf({ Service }: Entry): string {
  return short(typeof Service?.ID === 'string' ? Service.ID : '');
}

/** Foreign text in a message. */
function short(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
}

function indexOf(index: unknown): number | null {
  return typeof index === 'number' && Number.isFinite(index) ? index : null;
}
