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
  /** No cell of a client is left. */
  isSettled: boolean;
}

const shared = new Map<number, SharedLedger>();

/** A ledger with nothing in it, for `workers` workers; the one before it must not be used again. */
export function cleanLedger(workers: number): SharedLedger {
  const known = shared.get(workers) ?? make(workers);
  shared.set(workers, known);
  for (const { slab, clients: _, ...common } of known.buffers) {
    const { clients: _own, ...own } = slab;
    for (const buffer of [...Object.values(common), ...Object.values(own)]) clear(buffer);
  }
  // Those of a world that left some, where it did not get as far as to be asked for them.
  if (!known.isSettled) takeLeftClients(known);
  known.isSettled = false;
  return known;
}

/**
 * How many of the cells that count the connections of single clients are not 0; makes them so. A client's
 * cells are found by a hash, so all are looked at.
 */
export function takeLeftClients(known: SharedLedger): number {
  let count = 0;
  const buffers = known.buffers.map(({ slab }) => slab.clients);
  for (const buffer of [known.buffers[0]!.clients, ...buffers]) {
    if (Buffer.from(buffer).equals(zeros(buffer.byteLength))) continue;
    // Two cells at once; no two counts make a -0.
    const cells = new Float64Array(buffer);
    for (let i = 0; i < cells.length; i += 1) {
      if (cells[i] === 0) continue;
      cells[i] = 0;
      count += 1;
    }
  }
  known.isSettled = true;
  return count;
}

/** Comparing with it takes a tenth of the time of looking at each cell. */
let nothing = Buffer.alloc(0);

function zeros(bytes: number): Buffer {
  if (nothing.length !== bytes) nothing = Buffer.alloc(bytes);
  return nothing;
}

function make(workers: number): SharedLedger {
  const ledger = new Ledger();
  const buffers = Array.from({ length: workers }, (_, i) => ledger.buffersFor(i));
  return { ledger, buffers, isSettled: true };
}

function clear(buffer: SharedArrayBuffer): void {
  const { byteLength } = buffer;
  const count = byteLength < WHOLE_BYTES ? byteLength : Math.ceil(byteLength * USED_SHARE);
  new Uint8Array(buffer, 0, count).fill(0);
}

/** What is smaller is cleared whole. */
const WHOLE_BYTES = 32 * 1024;
