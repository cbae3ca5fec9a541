// What the list of all checks in one state says (/v1/health/state/:state): for each service and each
// node something that is another text when a check of theirs changed, and which checks it has. Pure.
import { changedKeys } from '../../base/changed-keys.ts';
import { type FetchedCheck, type Standing, standingOf } from './listed-item.ts';
import { type Check, listOf } from './translate.ts';

export interface CheckList {
  /** By name of the service, and by name of the node for checks that belong to no service. */
  readonly services: ReadonlyMap<string, string>;
  readonly nodes: ReadonlyMap<string, string>;
  /** Keys of all of them. */
  readonly checks: ReadonlySet<string>;
}

/** One line per check, so that any change of a check shows. Throws ConsulError for no list. */
export function checkListOf(body: unknown): CheckList {
  const services = new Map<string, string[]>();
  const nodes = new Map<string, string[]>();
  const checks = new Set<string>();
  for (const check of listOf<Check>(body)) {
    const { Node = '', CheckID = '', Status = '', ServiceName = '', ModifyIndex = 0 } = check;
    const [kind, key] = ServiceName === '' ? [nodes, Node] : [services, ServiceName];
    const lines = kind.get(key) ?? [];
    lines.push(`${Node} ${CheckID} ${Status} ${ModifyIndex}`);
    kind.set(key, lines);
    checks.add(keyOf(Node, CheckID));
  }
  return { services: joined(services), nodes: joined(nodes), checks };
}

/** Services and nodes of which `after` says something else than `before`. */
export function changedChecks(before: CheckList, after: CheckList) {
  return {
    services: changedKeys(before.services, after.services),
    nodes: changedKeys(before.nodes, after.nodes),
  };
}

/** How the list of its state, with this X-Consul-Index, stands to a check that was fetched. */
export function standingOfCheck(
  { node, id, index }: FetchedCheck,
  list: { readonly value: CheckList; readonly index: bigint },
): Standing {
  const hasItem = list.value.checks.has(keyOf(node, id));
  return standingOf(index, { index: list.index, hasItem });
}

function keyOf(node: string, id: string): string {
  return `${node}\n${id}`;
}

function joined(lines: ReadonlyMap<string, string[]>): Map<string, string> {
  return new Map([...lines].map(([key, list]) => [key, list.sort().join('\n')]));
}
