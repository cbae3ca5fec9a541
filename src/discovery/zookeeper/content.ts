// What the znodes of a service come to: pure.
import { formatHostPort } from '../../base/host-text.ts';
import type { Instance, Listed } from '../followed-instances.ts';
import { describeEntries, type Entry, ownWeight, type Reading } from '../self-description.ts';
import type { Content } from './walk.ts';

/** One instance, and what it says of the service. */
interface Found {
  readonly instance: Instance;
  readonly entry: Entry;
  readonly created: number;
}

/**
 * The instances of a service, what is wrong with its znodes, and what they say of it. An instance is
 * where it is: one that registered again before its old session was over is there once, as it said last.
 */
export function listedOf({ znodes, problem }: Content, reading: Reading): Listed {
  const found = new Map<string, Found>();
  const problems = problem === '' ? [] : [problem];
  for (const [name, { reading: said, stat }] of [...znodes].sort(byName)) {
    if (said.kind === 'problem') problems.push(said.text);
    if (said.kind !== 'instance') continue;
    const { host, port } = said;
    const id = formatHostPort(host, port);
    const { created, modified } = stat;
    if ((found.get(id)?.created ?? -1) > created) continue;
    const tags = said.tags;
    const entry: Entry = { Service: { ID: name, Tags: tags, ModifyIndex: modified } };
    const weight = ownWeight(entry, reading.prefix) ?? said.weight;
    found.set(id, { instance: { id, host, port, weight }, entry, created });
  }
  const all = [...found.values()];
  const described = describeEntries(
    all.map(({ entry }) => entry),
    reading,
  );
  return {
    instances: all.map(({ instance }) => instance),
    problems: [...problems, ...described.problems],
    settings: described.settings,
    order: described.order === 0 ? null : described.order,
  };
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
