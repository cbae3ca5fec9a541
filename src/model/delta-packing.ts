// Deltas on their way to one worker. Both sides work with whole services; over the boundary goes only
// what this worker does not have yet: one endpoint of a thousand that changed is one object and 999
// numbers, which neither thread has to build, copy and throw away for nothing.
// Invariant: what `unpack` returns equals what `pack` was given, as long as every packed delta is
// unpacked, in order, by one unpacker.
import type { EffectiveEndpoint } from './endpoint.ts';
import type { Service } from './service.ts';
import type { ListenerSnapshot, ServiceSnapshot, SnapshotDelta } from './snapshot.ts';

export interface PackedService {
  readonly name: string;
  /** Null where it is as it was. */
  readonly service: Service | null;
  readonly slot: number;
  readonly isPanicking: boolean;
  readonly priority: number;
  /** In the service's order; the slot of an endpoint that is as it was. */
  readonly endpoints: readonly (EffectiveEndpoint | number)[];
}

export interface PackedDelta {
  readonly version: number;
  readonly upsert: readonly PackedService[];
  readonly remove: readonly string[];
  readonly listeners: readonly ListenerSnapshot[] | null;
}

/** The sender's side: remembers what went over. Objects that are the same are as they were. */
export class DeltaPacker {
  private readonly sent = new Map<string, ServiceSnapshot>();

  /** An endpoint that the receiver has, as the very same object, is only its slot. */
  pack({ version, upsert, remove, listeners }: SnapshotDelta): PackedDelta {
    const packed = upsert.map((snapshot) => this.packOne(snapshot));
    for (const name of remove) this.sent.delete(name);
    return { version, upsert: packed, remove, listeners };
  }

  private packOne(snapshot: ServiceSnapshot): PackedService {
    const { service, slot, isPanicking, priority } = snapshot;
    const { name } = service;
    const before = this.sent.get(name);
    this.sent.set(name, snapshot);
    if (before === undefined) return { name, ...snapshot };
    const known = new Set(before.endpoints);
    const endpoints = snapshot.endpoints.map((one) => (known.has(one) ? one.slot : one));
    return {
      name,
      slot,
      isPanicking,
      priority,
      endpoints,
      service: service === before.service ? null : service,
    };
  }
}

/** The receiver's side. What did not change is the same object as before. */
export class DeltaUnpacker {
  private readonly received = new Map<string, ServiceSnapshot>();

  unpack({ version, upsert, remove, listeners }: PackedDelta): SnapshotDelta {
    const whole = upsert.map((packed) => this.unpackOne(packed));
    for (const name of remove) this.received.delete(name);
    return { version, upsert: whole, remove, listeners };
  }

  private unpackOne({ name, service, endpoints, ...facts }: PackedService) {
    const before = this.received.get(name);
    const bySlot = new Map(before?.endpoints.map((one) => [one.slot, one]));
    const snapshot: ServiceSnapshot = {
      ...facts,
      service: service ?? before!.service,
      endpoints: endpoints.map((one) => (typeof one === 'number' ? bySlot.get(one)! : one)),
    };
    this.received.set(name, snapshot);
    return snapshot;
  }
}
