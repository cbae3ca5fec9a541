// What is wrong with services, as it is shown and logged: with what they say of themselves, with their
// endpoints, and with descriptions that are not in use. It reads, and keeps nothing.
import { formatSource, sourceKey } from '../model/source.ts';
import type { ServiceRecord } from './service-record.ts';
import type { Sources } from './sources.ts';
import type { Table } from './table.ts';
import type { Transports } from './transports.ts';

/** Endpoints of a service that are refused: so many are named. */
const REFUSALS_MAX = 10;

export class ServiceProblems {
  private readonly table: Table;
  private readonly sources: Sources;
  private readonly transports: Transports;

  constructor(table: Table, sources: Sources, transports: Transports) {
    this.table = table;
    this.sources = sources;
    this.transports = transports;
  }

  /** What is wrong with what a service says of itself, and with its endpoints. */
  of({ name, service, refusals, primary }: ServiceRecord): string[] {
    const { sources, transports } = this;
    const refused = [...refusals].map(([id, why]) => `endpoint ${id}: ${why}`);
    const isHeadless = service.primary !== null && primary.id === '';
    const keys = service.from.map(({ source }) => [source, sourceKey(source)] as const);
    return [
      ...(isHeadless ? [`no primary: ${primary.why}`] : []),
      ...(this.table.get(name)?.problems ?? []),
      ...keys.flatMap(([, key]) => sources.problemsOf(key)),
      ...keys.flatMap(([source, key]) =>
        transports.problems(source, service, sources.admitted(key)),
      ),
      ...shortened(refused, REFUSALS_MAX),
    ];
  }

  /** What is wrong with descriptions of this name that are not in use. */
  unservedOf(name: string): readonly string[] {
    const isServed = (key: string) => [...this.table.servedBy(key)].length > 0;
    const own = this.sources
      .wrongOf(name)
      .flatMap((key) => (isServed(key) ? [] : this.sources.problemsOf(key)));
    return [...this.table.unservedOf(name), ...own];
  }

  /** The same of every name that has such. */
  unserved(): ReadonlyMap<string, readonly string[]> {
    const names = new Set([...this.table.describedNames, ...this.sources.wrongNames]);
    const problems = [...names].map((name) => [name, this.unservedOf(name)] as const);
    return new Map(problems.filter(([, list]) => list.length > 0));
  }
}

/** That the best of its sources have nothing that works. */
export function fallbackProblem({ service, priority }: ServiceRecord): string[] {
  const best = Math.min(...service.from.map((used) => used.priority));
  if (priority === null || priority <= best) return [];
  const failed = service.from.filter((used) => used.priority < priority);
  const names = failed.map(({ source }) => formatSource(source)).join(', ');
  return [`failover: sources of priority ${priority} are in use instead of ${names}`];
}

function shortened(texts: readonly string[], max: number): readonly string[] {
  return texts.length <= max ? texts : [...texts.slice(0, max), `and ${texts.length - max} more`];
}
