// The messages of etcd's v3 API as its JSON gateway has them: what is asked, and what is read of the
// answers. Bytes are in base64, numbers of 64 bits are texts, and what is 0 or false is left out.
// Pure. Source: etcd's api/etcdserverpb/rpc.proto.
import { fieldsOf, listOf, textOf } from '../../base/foreign.ts';
import { BOUNDS, excessOf, formatBound } from '../../model/bounds.ts';
import { cancelError, EtcdError, grpcError, TOO_LARGE } from './error.ts';
import { int64Of } from './int64.ts';
import type { Entry } from './stock.ts';

export interface Header {
  readonly clusterId: string;
  readonly revision: bigint;
}

export interface KeyValue {
  readonly key: string;
  /** Its bytes, in base64: they need be no text. */
  readonly raw: string;
  readonly entry: Entry;
  readonly modified: bigint;
}

export interface RangeAnswer {
  readonly header: Header;
  readonly keyValues: readonly KeyValue[];
  readonly hasMore: boolean;
  /** Keys in the whole range. */
  readonly count: number;
}

export type WatchEvent =
  | { readonly kind: 'put'; readonly key: string; readonly entry: Entry; readonly revision: bigint }
  | { readonly kind: 'delete'; readonly key: string; readonly revision: bigint };

export interface WatchMessage {
  readonly header: Header;
  readonly isCreated: boolean;
  readonly events: readonly WatchEvent[];
}

/** The keys below `prefix`, which has no slash at its end. */
export function rangeBelow(prefix: string): { readonly key: string; readonly range_end: string } {
  // The first key after all that begin with `prefix/`: a slash is followed by 0.
  return { key: base64(`${prefix}/`), range_end: base64(`${prefix}0`) };
}

/** The part of the range from behind this key on, whose bytes are in base64. */
export function behind(raw: string): string {
  return Buffer.concat([Buffer.from(raw, 'base64'), Buffer.of(0)]).toString('base64');
}

/** Throws EtcdError. */
export function readRange(body: unknown): RangeAnswer {
  const fields = fieldsOf(body);
  const { more, count } = fields;
  return {
    header: readHeader(fields.header),
    keyValues: listOf(fields.kvs).flatMap((one) => readKeyValue(one) ?? []),
    hasMore: more === true,
    count: Number(int64Of(count) ?? 0n),
  };
}

/**
 * One message of a watch. Throws EtcdError where it says that the watch has ended, COMPACTED where
 * what it was to begin with is gone.
 */
export function readWatch(message: unknown): WatchMessage {
  const { result, error } = fieldsOf(message);
  if (error !== undefined) throw grpcError(message, 0);
  const fields = fieldsOf(result);
  const compacted = int64Of(fields.compact_revision) ?? 0n;
  if (compacted > 0n) {
    throw new EtcdError('compacted', `revisions before ${compacted} have been compacted`);
  }
  if (fields.canceled === true) throw cancelError(textOf(fields.cancel_reason));
  const events = listOf(fields.events);
  if (events.length > BOUNDS.etcdEventItems.max) {
    throw new EtcdError(TOO_LARGE, excessOf(BOUNDS.etcdEventItems), { isRefusal: true });
  }
  return {
    header: readHeader(fields.header),
    isCreated: fields.created === true,
    events: events.flatMap((one) => readEvent(one) ?? []),
  };
}

function readEvent(event: unknown): WatchEvent | null {
  const { type, kv } = fieldsOf(event);
  const read = readKeyValue(kv);
  if (read === null) return null;
  const { key, entry, modified: revision } = read;
  if (type === undefined || type === 'PUT') return { kind: 'put', key, entry, revision };
  return type === 'DELETE' ? { kind: 'delete', key, revision } : null;
}

function readHeader(header: unknown): Header {
  const fields = fieldsOf(header);
  const revision = int64Of(fields.revision);
  const clusterId = textOf(fields.cluster_id);
  if (revision === null || clusterId === '') {
    throw new EtcdError('no-header', 'answered without a header of etcd');
  }
  return { clusterId, revision };
}

function readKeyValue(keyValue: unknown): KeyValue | null {
  const fields = fieldsOf(keyValue);
  const key = unbase64(fields.key);
  const modified = int64Of(fields.mod_revision);
  if (key === '' || modified === null) return null;
  const created = int64Of(fields.create_revision) ?? 0n;
  const lease = int64Of(fields.lease) ?? 0n;
  const entry = { value: cut(fields.value), created: Number(created), isMortal: lease !== 0n };
  return { key, raw: textOf(fields.key), entry, modified };
}

/** A value that is too long need not be kept to know that. */
function cut(value: unknown): string {
  return unbase64(value).slice(0, BOUNDS.etcdValue.max + 1);
}

/** Throws EtcdError where there are more keys than are taken. */
export function checkCount(count: number): void {
  if (count <= BOUNDS.etcdKeys.max) return;
  const message = `${count} keys: at most ${formatBound(BOUNDS.etcdKeys)} are taken`;
  throw new EtcdError(TOO_LARGE, message, { isRefusal: true });
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

function unbase64(value: unknown): string {
  return Buffer.from(textOf(value), 'base64').toString('utf8');
}
