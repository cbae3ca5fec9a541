import { Ledger } from '../../src/ledger/ledger.ts';

/**
 * Share of the slots that a world may use: the first of them. A ledger has room for thousands of
 * endpoints, and making one takes as long as a thousand exchanges; so one serves all worlds in turn.
 */
const USED_SHARE = 1 / 64;

const shared = new Map<number, Ledger>();

/** A ledger with nothing in it, for `workers` workers; the one before it must not be used again. */
export function cleanLedger(workers: number): Ledger {
  const ledger = shared.get(workers) ?? new Ledger();
  shared.set(workers, ledger);
  for (let index = 0; index < workers; index += 1) {
    const { slab, ...common } = ledger.buffersFor(index);
    for (const buffer of [...Object.values(common), ...Object.values(slab)]) clear(buffer);
  }
  return ledger;
}

function clear(buffer: SharedArrayBuffer): void {
  new Uint8Array(buffer, 0, Math.ceil(buffer.byteLength * USED_SHARE)).fill(0);
}
