// Several places that each hand out a list of services: files, URLs. What they say together is the list;
// one that fails keeps what it said last.
import type { Listed } from './followed-instances.ts';
import type { ServiceList } from './listed-services.ts';

export class Origins {
  private readonly lists = new Map<string, ServiceList>();

  /** Whether this one has said something. */
  has(origin: string): boolean {
    return this.lists.has(origin);
  }

  /** Replaces what it said before. */
  set(origin: string, list: ServiceList): void {
    this.lists.set(origin, list);
  }

  /** Forgets those that are not among `origins`; true where there was one. */
  keepOnly(origins: ReadonlySet<string>): boolean {
    const gone = [...this.lists.keys()].filter((origin) => !origins.has(origin));
    for (const origin of gone) this.lists.delete(origin);
    return gone.length > 0;
  }

  /** What all say together, in the order of their names. An instance that two name is there once. */
  merged(): ServiceList {
    const lists = [...this.lists].sort(([one], [other]) => (one < other ? -1 : 1));
    if (lists.length === 1) return lists[0]![1];
    const merged = new Map<string, Listed>();
    for (const [, list] of lists) {
      for (const [name, listed] of list) {
        const before = merged.get(name);
        merged.set(name, before === undefined ? listed : union(before, listed));
      }
    }
    return merged;
  }
}

/** Where they differ, the first counts. */
function union(first: Listed, second: Listed): Listed {
  const known = new Set(first.instances.map(({ id }) => id));
  const more = second.instances.filter(({ id }) => !known.has(id));
  const isPlain = first.settings === null && second.settings === null;
  return {
    instances: [...first.instances, ...more],
    problems: [...first.problems, ...second.problems],
    settings: isPlain ? null : { ...second.settings, ...first.settings },
    order: null,
  };
}
