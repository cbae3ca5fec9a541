import { serialize } from 'node:v8';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { DeltaPacker, DeltaUnpacker } from '../../src/model/delta-packing.ts';
import type { EffectiveEndpoint } from '../../src/model/endpoint.ts';
import type { ServiceSnapshot, SnapshotDelta } from '../../src/model/snapshot.ts';
import { makeService, makeSnapshot } from '../support/service.ts';

/** What happens to a service: it goes, its policy changes, or some of its endpoints do. */
type Change =
  | { readonly what: 'remove' | 'policy' | 'panic'; readonly name: string }
  | { readonly what: 'endpoints'; readonly name: string; readonly slots: readonly number[] };

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    what: fc.constantFrom('remove', 'policy', 'panic'),
    name: fc.constantFrom('a', 'b'),
  }),
  fc.record({
    what: fc.constant('endpoints'),
    name: fc.constantFrom('a', 'b'),
    // Those that are named come (or go, or change), in this order.
    slots: fc.uniqueArray(fc.nat(6)),
  }),
);

function endpointAt(slot: number, weight: number): EffectiveEndpoint {
  return { ...makeSnapshot(makeService(), [80]).endpoints[0]!, slot, weight };
}

/** The snapshot after the change; null when the service is gone. */
function changed(before: ServiceSnapshot, { what, ...more }: Change): ServiceSnapshot | null {
  const { service } = before;
  if (what === 'remove') return null;
  if (what === 'panic') return { ...before, isPanicking: !before.isPanicking };
  if (what === 'policy') {
    return { ...before, service: { ...service, slowStartMs: service.slowStartMs + 1 } };
  }
  const slots = 'slots' in more ? more.slots : [];
  const kept = before.endpoints.filter((one) => !slots.includes(one.slot) || one.weight < 3);
  const known = new Map(kept.map((one) => [one.slot, one]));
  const order = [...new Set([...slots, ...known.keys()])];
  // Every other one of those named is as it was.
  const endpoints = order.map((slot, i) => {
    const old = known.get(slot);
    const isKept = old !== undefined && (!slots.includes(slot) || i % 2 === 0);
    return isKept ? old : endpointAt(slot, (old?.weight ?? 0) + 1);
  });
  return { ...before, endpoints };
}

it('what arrives is what was sent, whatever came before', () => {
  fc.assert(
    fc.property(fc.array(fc.array(change, { minLength: 1, maxLength: 3 })), (batches) => {
      const packer = new DeltaPacker();
      const unpacker = new DeltaUnpacker();
      const table = new Map<string, ServiceSnapshot>();
      for (const [version, batch] of batches.entries()) {
        const touched = new Set(batch.map(({ name }) => name));
        for (const one of batch) {
          const before = table.get(one.name) ?? makeSnapshot(makeService({ name: one.name }), []);
          const after = changed(before, one);
          if (after === null) table.delete(one.name);
          else table.set(one.name, after);
        }
        const delta: SnapshotDelta = {
          version,
          upsert: [...touched].flatMap((name) => table.get(name) ?? []),
          remove: [...touched].filter((name) => !table.has(name)),
          listeners: null,
        };
        // As over the boundary: nothing is shared.
        const arrived = unpacker.unpack(structuredClone(packer.pack(delta)));
        expect(arrived).toEqual(delta);
      }
    }),
  );
});

it('one endpoint of a thousand that changes is little to send', () => {
  const packer = new DeltaPacker();
  const ports = Array.from({ length: 1000 }, (_, i) => 1024 + i);
  const snapshot = makeSnapshot(makeService(), ports);
  const send = (upsert: readonly ServiceSnapshot[], version: number) => {
    const bytes = serialize(packer.pack({ version, upsert, remove: [], listeners: null }));
    return bytes.length;
  };
  const whole = send([snapshot], 1);
  const endpoints = [...snapshot.endpoints];
  endpoints[500] = { ...endpoints[500]!, weight: 0 };
  expect(send([{ ...snapshot, endpoints }], 2)).toBeLessThan(whole / 20);
});

it('what did not change is the same object on the other side', () => {
  const packer = new DeltaPacker();
  const unpacker = new DeltaUnpacker();
  const snapshot = makeSnapshot(makeService(), [80, 81]);
  const send = (one: ServiceSnapshot) =>
    unpacker.unpack(
      structuredClone(packer.pack({ version: 1, upsert: [one], remove: [], listeners: null })),
    ).upsert[0]!;
  const first = send(snapshot);
  const second = send({ ...snapshot, endpoints: [...snapshot.endpoints].reverse() });
  expect(second.service).toBe(first.service);
  expect(second.endpoints).toEqual([first.endpoints[1], first.endpoints[0]]);
  expect(second.endpoints[0]).toBe(first.endpoints[1]);
});
