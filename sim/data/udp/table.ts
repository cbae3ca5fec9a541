// The table of a world of datagrams, told to the workers by deltas that take a moment; and what each of them knows.
import type { EffectiveEndpoint, EndpointState } from '../../../src/model/endpoint.ts';
import type { SnapshotDelta } from '../../../src/model/snapshot.ts';
import { makeListener } from '../../../test/support/service.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import type { WorkerHost } from '../host.ts';
import type { UdpPlan } from './plan.ts';

const MESSAGE_MS_MAX = 15;

interface Told {
  readonly usable: ReadonlySet<number>;
  /** Endpoints that nothing may go to any more, not even of the sessions that they have. */
  readonly left: ReadonlySet<number>;
}

export class UdpTable {
  /** By endpoint; up where it says nothing. */
  readonly states = new Map<string, EndpointState | 'gone'>();
  isOver = false;
  onApplied: (worker: number, usable: ReadonlySet<number>) => void = () => {};
  private readonly kernel: Kernel;
  private readonly plan: UdpPlan;
  private readonly hosts: readonly WorkerHost[];
  private readonly views: { lastMs: number; told: Told[] }[];
  private version = 0;

  constructor(kernel: Kernel, plan: UdpPlan, hosts: readonly WorkerHost[]) {
    this.kernel = kernel;
    this.plan = plan;
    this.hosts = hosts;
    this.views = Array.from({ length: plan.workers }, () => ({ lastMs: 0, told: [] }));
  }

  mayUse(worker: number, slot: number): boolean {
    return this.views[worker]!.told.some(({ usable }) => usable.has(slot));
  }

  isLeft(worker: number, slot: number): boolean {
    const { told } = this.views[worker]!;
    return told.length > 0 && told.every(({ left }) => left.has(slot));
  }

  async publish(): Promise<void> {
    const { kernel, hosts } = this;
    this.version += 1;
    const delta = this.delta();
    const told = this.toldNow();
    await Promise.all(
      hosts.map((host, i) => {
        const view = this.views[i]!;
        const chance = kernel.chance(`message ${this.version} to ${i}`);
        view.lastMs = Math.max(view.lastMs, kernel.nowMs + chance.between(0, MESSAGE_MS_MAX));
        return new Promise<void>((resolve) => {
          kernel.at(view.lastMs, () => {
            view.told.push(told);
            void host.worker.apply(delta).then(() => {
              view.told.splice(0, view.told.indexOf(told));
              if (view.told.length === 1) this.onApplied(i, told.usable);
              resolve();
            });
          });
        });
      }),
    );
  }

  private delta(): SnapshotDelta {
    const { services } = this.plan;
    return {
      version: this.version,
      upsert: services.map(({ name, slot, policy }) => {
        const endpoints = this.endpointsOf(name);
        return { service: policy, slot, isPanicking: false, priority: 1, endpoints };
      }),
      remove: [],
      listeners: services.map(({ policy, port }) =>
        makeListener(policy, { kind: 'udp', host: '127.0.0.1', port }),
      ),
    };
  }

  private endpointsOf(service: string): EffectiveEndpoint[] {
    return this.plan.endpoints.flatMap(({ name, service: of, port, slot }) => {
      const state = this.states.get(name) ?? 'up';
      if (of !== service || state === 'gone') return [];
      const plain = { address: '127.0.0.1', weight: 1, reason: '', sinceMs: 0, isSpare: false };
      return [{ ...plain, id: name, port, state, slot, slowStartFromMs: 0, priority: 1 }];
    });
  }

  private toldNow(): Told {
    const usable = new Set<number>();
    const left = new Set<number>();
    for (const { name, service, slot } of this.plan.endpoints) {
      const state = this.states.get(name) ?? 'up';
      const { onDownMs, onDrainMs } = this.plan.services.find((one) => one.name === service)!.policy
        .udp;
      if (state === 'up') usable.add(slot);
      else if ((state === 'down' || state === 'ejected' ? onDownMs : onDrainMs) === 0)
        left.add(slot);
    }
    return { usable, left };
  }
}
