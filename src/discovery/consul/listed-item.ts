// What a health answer lists and the lists of the wide questions list too: instances, and checks that
// are critical or warning, each with the index of its last change. By that index it is known whether
// a list that lacks one is older than the answer, or lacks it because it has gone since: something
// that came and went between two answers of a list changes neither of them. Pure.
import type { Entry } from './translate.ts';

export interface Item {
  readonly node: string;
  readonly id: string;
  /** Index of its last change; 0: not said. */
  readonly index: number;
}

export interface FetchedInstance extends Item {
  /** Index of the last change of the node. */
  readonly nodeIndex: number;
}

export interface FetchedCheck extends Item {
  readonly state: string;
}

export interface Fetched {
  readonly instances: readonly FetchedInstance[];
  /** Those in a state that is followed. */
  readonly checks: readonly FetchedCheck[];
}

/**
 * What a list says of an item that was fetched: it lists it; it is as recent as the item and does not
 * list it, so that it has gone; or it is older, and its next answer will tell.
 */
export type Standing = 'listed' | 'gone' | 'ahead';

export const NOTHING_FETCHED: Fetched = { instances: [], checks: [] };

/** What these entries list; of the checks those in one of `states`. */
export function fetchedOf(entries: readonly Entry[], states: readonly string[]): Fetched {
  const instances = entries.flatMap(({ Node, Service }): FetchedInstance[] => {
    const { Node: node, ModifyIndex: nodeIndex = 0 } = Node ?? {};
    const { ID: id, ModifyIndex: index = 0 } = Service ?? {};
    return node === undefined || id === undefined ? [] : [{ node, id, index, nodeIndex }];
  });
  const checks = entries.flatMap(({ Checks }) =>
    (Checks ?? []).flatMap(({ Node: node, CheckID: id, Status: state, ModifyIndex: index = 0 }) => {
      const isWhole = node !== undefined && id !== undefined && state !== undefined;
      return isWhole && states.includes(state) ? [{ node, id, state, index }] : [];
    }),
  );
  return { instances, checks };
}

/** `list`: its X-Consul-Index, and whether it has the item. Without an index nothing can be told. */
export function standingOf(
  index: number,
  list: { readonly index: bigint; readonly hasItem: boolean },
): Standing {
  if (list.hasItem || index <= 0) return 'listed';
  return index <= list.index ? 'gone' : 'ahead';
}
