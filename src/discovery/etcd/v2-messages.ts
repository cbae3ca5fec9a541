// The answers of etcd's v2 API, read. Pure. Source: etcd's Documentation/v2/api.md, api/v2store.
import { type Fields, fieldsOf, listOf, textOf } from '../../base/foreign.ts';
import { BOUNDS, formatBound } from '../../model/bounds.ts';
import { EtcdError } from './error.ts';
import { pathBelow } from './layout.ts';
import type { Entry } from './stock.ts';
import type { EtcdResponse } from './transport.ts';

export interface Tree {
  /** By what follows the prefix. */
  readonly entries: Map<string, Entry>;
  /** When each directory was made. */
  readonly dirs: Map<string, number>;
  /** Some should have gone by themselves a second ago or more. */
  isOverdue: boolean;
}

export type V2Event =
  | { readonly kind: 'put'; readonly path: string; readonly entry: Entry }
  | { readonly kind: 'made-dir'; readonly path: string; readonly created: number }
  | ({ readonly kind: 'removed' } & Removal)
  /** With all that is in it; '' is the prefix itself. */
  | ({ readonly kind: 'removed-dir' } & Removal);

/** A key or directory that is gone. */
export interface Removal {
  readonly path: string;
  readonly isMeant: boolean;
  /** Index at which it was last set or made; 0 where the event does not say. */
  readonly created: number;
}

/** The index of the store when the answer was made. Throws EtcdError. */
export function indexOf(headers: EtcdResponse['headers']): number {
  const text = headers['x-etcd-index'];
  if (typeof text === 'string' && /^\d{1,15}$/.test(text)) return Number(text);
  throw new EtcdError('no-index', 'answered without X-Etcd-Index');
}

/** '' where the member does not say. */
export function clusterOf(headers: EtcdResponse['headers']): string {
  return textOf(headers['x-etcd-cluster-id']);
}

/** Which leader's time it is, counted by elections; '' where the member does not say. */
export function termOf(headers: EtcdResponse['headers']): string {
  return textOf(headers['x-raft-term']);
}

/** Everything in a recursive list of `prefix`. Throws EtcdError where that is too much. */
export function readTree(body: unknown, prefix: string): Tree {
  const tree: Tree = { entries: new Map(), dirs: new Map(), isOverdue: false };
  const open = [nodeOf(body)];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    const path = pathOf(node, prefix);
    if (path === null) continue;
    // In whole seconds, rounded up.
    if (typeof node.ttl === 'number' && node.ttl < 0) tree.isOverdue = true;
    if (node.dir === true) {
      if (path !== '') tree.dirs.set(path, numberOf(node.createdIndex));
      for (const one of listOf(node.nodes)) open.push(fieldsOf(one));
    } else if (path !== '') tree.entries.set(path, entryOf(node));
    const { max } = BOUNDS.etcdKeys;
    if (tree.entries.size + tree.dirs.size > max) throw tooMany();
  }
  return tree;
}

/** The error to be thrown by those who count keys. */
export function tooMany(): EtcdError {
  const message = `more keys and directories than are taken: at most ${formatBound(BOUNDS.etcdKeys)}`;
  return new EtcdError('too-large', message, { isRefusal: true });
}

/** Actions by which a key goes, and whether somebody took it out. */
const REMOVALS: Readonly<Record<string, boolean>> = {
  delete: true,
  compareAndDelete: true,
  expire: false,
};

/** The event of a wait, with its index; null where it is none of ours. Throws EtcdError. */
export function readEvent(body: unknown, prefix: string): { index: number; event: V2Event | null } {
  const action = textOf(fieldsOf(body).action);
  const node = nodeOf(body);
  const index = numberOf(node.modifiedIndex);
  if (action === '' || index === 0) throw new EtcdError('not-an-event', 'answered no event');
  return { index, event: eventOf(action, node, prefix) };
}

function eventOf(action: string, node: Fields, prefix: string): V2Event | null {
  const path = pathOf(node, prefix);
  const isDir = node.dir === true;
  const isMeant = Object.hasOwn(REMOVALS, action) ? REMOVALS[action] : undefined;
  if (isMeant !== undefined) {
    const created = numberOf(node.createdIndex);
    // A directory above goes with all that is below it.
    const isAbove = path === null && isDir && `${prefix}/`.startsWith(slashed(textOf(node.key)));
    if (path === null) return isAbove ? { kind: 'removed-dir', path: '', isMeant, created } : null;
    return { kind: isDir ? 'removed-dir' : 'removed', path, isMeant, created };
  }
  if (path === null || path === '') return null;
  if (!isDir) return { kind: 'put', path, entry: entryOf(node) };
  return { kind: 'made-dir', path, created: numberOf(node.createdIndex) };
}

function nodeOf(body: unknown): Fields {
  return fieldsOf(fieldsOf(body).node);
}

/** '' for the prefix itself; null for what is not below it. The root has no key. */
function pathOf(node: Fields, prefix: string): string | null {
  const key = textOf(node.key);
  return key === prefix ? '' : pathBelow(prefix, key);
}

function slashed(key: string): string {
  return key.endsWith('/') ? key : `${key}/`;
}

function entryOf(node: Fields): Entry {
  const value = textOf(node.value).slice(0, BOUNDS.etcdValue.max + 1);
  const isMortal = node.ttl !== undefined || node.expiration !== undefined;
  return { value, created: numberOf(node.createdIndex), isMortal };
}

function numberOf(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}
