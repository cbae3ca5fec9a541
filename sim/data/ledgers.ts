import { Ledger, type LedgerBuffers } from '../../src/ledger/ledger.ts';

/**
 * Share of the slots that a world may use: the first of them. A ledger has room for thousands of
 * endpoints, and making one takes as long as a thousand exchanges; so one serves all worlds in turn.
 */
const USED_SHARE = 1 / 512;

export interface SharedLedger {
  readonly ledger: Ledger;
  /** By worker. Asked for once: the ledger would look for what a dead worker has left. */
  readonly buffers: readonly LedgerBuffers[];
}

const shared = new Map<number, SharedLedger>();

/** A ledger with nothing in it, for `workers` workers; the one before it must not be used again. */
export function cleanLedger(workers: number): SharedLedger {
  const known = shared.get(workers) ?? make(workers);
  shared.set(workers, known);
  for (const { slab, ...common } of known.buffers) {
    for (const buffer of [...Object.values(common), ...Object.values(slab)]) clear(buffer);
  }
  return known;
}

function make(workers: number): SharedLedger {
  const ledger = new Ledger();
  return { ledger, buffers: Array.from({ length: workers }, (_, i) => ledger.buffersFor(i)) };
}

/** What is small is cleared whole: its rows are found by a hash. */
function clear(buffer: SharedArrayBuffer): void {
  const { byteLength } = buffer;
  const count = byteLength < WHOLE_BYTES ? byteLength : Math.ceil(byteLength * USED_SHARE);
  new Uint8Array(buffer, 0, count).fill(0);
}

const WHOLE_BYTES = 512 * 1024;
