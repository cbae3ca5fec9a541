// Several sources of one service become one list of endpoints. Two sources that name the same address
// and port name one endpoint; of those that name it the best one is believed (the lowest priority
// number, then the first of the list, one that was just said before one that is held).
// An endpoint keeps the id under which it came for as long as any source names it: a second source that
// names it too, or the first that does not any more, changes nothing of its counters and connections.
// What one source names twice at one place (two registrations) stays two endpoints. Pure.
import type { Endpoint } from '../model/endpoint.ts';
import {
  type AcceptedStatus,
  type ServiceSource,
  sourceKey,
  type UsedSource,
} from '../model/source.ts';
import type { Admitted } from './guard.ts';

/** A source that names an endpoint, and the id that the endpoint has there. */
export interface Naming {
  readonly source: ServiceSource;
  readonly id: string;
}

/** One endpoint of a service, with all that its sources say of it. */
export interface Merged {
  /** With the id that it has in the service; weight and status are the best source's. */
  readonly endpoint: Endpoint;
  /** Why it is there although no source just said so; '' where one did. */
  readonly held: string;
  /** Registry statuses that get traffic, as the best source is used. */
  readonly accept: readonly AcceptedStatus[];
  readonly priority: number;
  /** The best source first. */
  readonly namings: readonly Naming[];
}

/** What a source of the service says now; null where it has not said anything. */
export interface Word {
  readonly used: UsedSource;
  readonly admitted: Admitted | null;
}

/** What the service had before. */
export type Before = ReadonlyMap<string, { readonly merged: Merged }>;

/** Brings what the sources say together. `words` are in the order of the service's list. */
export function merge(words: readonly Word[], before: Before): Merged[] {
  const [only] = words;
  if (words.length === 1 && only !== undefined && isPlain(only, before)) return single(only);
  return new Merging(words, before).result();
}

/** One source, and every endpoint has the id that it has there. */
function isPlain({ used, admitted }: Word, before: Before): boolean {
  if (admitted === null) return before.size === 0;
  const keys = new Keys();
  for (const { merged } of before.values()) {
    const { endpoint, namings } = merged;
    if (namings.length !== 1 || namings[0]!.id !== endpoint.id) return false;
    if (keys.of(namings[0]!.source) !== keys.of(used.source)) return false;
  }
  return true;
}

/** Keys of sources: few sources are asked for thousands of times. */
class Keys {
  private readonly known = new Map<ServiceSource, string>();

  of(source: ServiceSource): string {
    let key = this.known.get(source);
    if (key === undefined) {
      key = sourceKey(source);
      this.known.set(source, key);
    }
    return key;
  }

  ofNaming({ source, id }: Naming): string {
    return `${this.of(source)}\0${id}`;
  }
}

function single({ used, admitted }: Word): Merged[] {
  const { source, priority } = used;
  return (admitted?.endpoints ?? []).map((endpoint) => ({
    endpoint,
    held: admitted!.held.get(endpoint.id) ?? '',
    accept: source.accept,
    priority,
    namings: [{ source, id: endpoint.id }],
  }));
}

/** A source says this of an endpoint. */
interface Saying {
  readonly rank: number;
  readonly word: Word;
  readonly endpoint: Endpoint;
  readonly held: string;
}

function isMaintained({ endpoint, word }: Saying): boolean {
  return endpoint.status === 'maintenance' && !word.used.source.accept.includes('maintenance');
}

/** It gets no new work, and that was just said. */
function isDrained({ endpoint, held }: Saying): boolean {
  return endpoint.weight === 0 && held === '';
}

/** What will be one endpoint. */
interface Group {
  readonly place: string;
  /** The id that it had; '' for a new one. */
  readonly knownId: string;
  readonly sayings: Saying[];
  /** Of sources that the service had before, while those that it has now have yet to answer. */
  readonly left: Merged | null;
}

class Merging {
  private readonly words: readonly Word[];
  private readonly before: Before;
  private readonly keys = new Keys();
  private readonly groups: Group[] = [];
  private readonly byPlace = new Map<string, Group[]>();
  /** Ids that endpoints of now had before. */
  private readonly taken = new Set<string>();
  /** Endpoints from before that no source names any more by the same id, by their place. */
  private readonly unnamed = new Map<string, Merged[]>();

  constructor(words: readonly Word[], before: Before) {
    this.words = words
      .map((word, i) => ({ word, i }))
      .sort((a, b) => a.word.used.priority - b.word.used.priority || a.i - b.i)
      .map(({ word }) => word);
    this.before = before;
  }

  result(): Merged[] {
    const rest = this.joinKnown();
    for (const saying of rest) this.joinPlace(saying);
    this.keepLeft();
    for (const { knownId } of this.groups) if (knownId !== '') this.taken.add(knownId);
    return this.groups.map((group) => this.mergedOf(group));
  }

  /** Namings of before that are said again go where they were; returns the others. */
  private joinKnown(): Saying[] {
    const named = new Map<string, Merged>();
    for (const { merged } of this.before.values()) {
      for (const naming of merged.namings) named.set(this.keys.ofNaming(naming), merged);
    }
    const groupOf = new Map<Merged, Group>();
    const rest: Saying[] = [];
    for (const [rank, word] of this.words.entries()) {
      const { source } = word.used;
      for (const endpoint of word.admitted?.endpoints ?? []) {
        const held = word.admitted?.held.get(endpoint.id) ?? '';
        const saying = { rank, word, endpoint, held };
        const known = named.get(this.keys.ofNaming({ source, id: endpoint.id }));
        if (known === undefined || placeOf(known.endpoint) !== placeOf(endpoint)) {
          rest.push(saying);
          continue;
        }
        let group = groupOf.get(known);
        if (group === undefined) {
          group = this.addGroup(placeOf(endpoint), known.endpoint.id);
          groupOf.set(known, group);
        }
        group.sayings.push(saying);
      }
    }
    for (const { merged } of this.before.values()) {
      if (groupOf.has(merged)) continue;
      const place = placeOf(merged.endpoint);
      this.unnamed.set(place, [...(this.unnamed.get(place) ?? []), merged]);
    }
    return rest;
  }

  /** A naming that is new joins an endpoint that is at its place, if its source names none there. */
  private joinPlace(saying: Saying): void {
    const place = placeOf(saying.endpoint);
    const { source } = saying.word.used;
    const here = this.byPlace
      .get(place)
      ?.find(({ sayings }) => !sayings.some((one) => one.rank === saying.rank));
    if (here !== undefined) {
      here.sayings.push(saying);
      return;
    }
    // One that all its sources gave up goes on where another takes it over.
    const free = this.unnamed.get(place) ?? [];
    const heir = free.find(
      ({ namings }) => !namings.some((one) => this.isSame(one.source, source)),
    );
    if (heir !== undefined)
      this.unnamed.set(
        place,
        free.filter((one) => one !== heir),
      );
    this.addGroup(place, heir?.endpoint.id ?? '').sayings.push(saying);
  }

  /** While a new source has yet to answer, what the service had of others is not taken away. */
  private keepLeft(): void {
    if (this.words.every(({ admitted }) => admitted !== null)) return;
    for (const merged of [...this.unnamed.values()].flat()) {
      const isOfOthers = !merged.namings.some(({ source }) =>
        this.words.some(({ used }) => this.isSame(used.source, source)),
      );
      if (isOfOthers) this.addGroup(placeOf(merged.endpoint), merged.endpoint.id, merged);
    }
  }

  private isSame(one: ServiceSource, other: ServiceSource): boolean {
    return this.keys.of(one) === this.keys.of(other);
  }

  private addGroup(place: string, knownId: string, left: Merged | null = null): Group {
    const group: Group = { place, knownId, sayings: [], left };
    this.groups.push(group);
    const here = this.byPlace.get(place);
    if (here === undefined) this.byPlace.set(place, [group]);
    else here.push(group);
    return group;
  }

  private mergedOf({ knownId, sayings, left }: Group): Merged {
    if (left !== null) return left;
    sayings.sort((a, b) => a.rank - b.rank);
    const first = sayings[0]!;
    const best = sayings.find(({ held }) => held === '') ?? first;
    // Who takes an instance out means it, wherever that is said.
    const told = sayings.find(isMaintained) ?? sayings.find(isDrained) ?? best;
    const { status, statusText } = told.endpoint;
    const weight = isDrained(told) ? 0 : best.endpoint.weight;
    const id = knownId || this.newId(first);
    return {
      endpoint: { ...best.endpoint, id, weight, status, statusText },
      held: best.held,
      accept: told.word.used.source.accept,
      priority: first.word.used.priority,
      namings: sayings.map(({ word, endpoint }) => ({ source: word.used.source, id: endpoint.id })),
    };
  }

  /** The id of its best source, unless another endpoint of the service has that. */
  private newId({ endpoint, word }: Saying): string {
    const { id } = endpoint;
    const { registry } = word.used.source;
    const place = placeOf(endpoint);
    const wishes = [id, `${id}@${registry}`, `${id}@${registry}/${place}`];
    for (let i = 1; ; i += 1) {
      const wish = wishes.shift() ?? `${id}@${registry}/${place}#${i}`;
      if (this.taken.has(wish)) continue;
      this.taken.add(wish);
      return wish;
    }
  }
}

function placeOf({ address, port }: Endpoint): string {
  return `${address}:${port}`;
}
