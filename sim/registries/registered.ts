// Who ought to be registered where, and the registrars that see to it.
import type { Kernel } from '../kernel/kernel.ts';
import type { AllRegistries } from './all-registries.ts';
import type { RegistriesJudge } from './judge.ts';
import { MEMBERS, type Member, type RegistryName } from './members.ts';
import type { Step } from './plan.ts';
import { EngineRegistrar, EtcdRegistrar, type Registrar, ZoneRegistrar } from './registrars.ts';
import type { ReplaceStep } from './replacing.ts';
import { ZookeeperRegistrar } from './zookeeper-registrar.ts';

/** What a change of one that is registered is. */
type Change = Extract<
  Step,
  { kind: 'register' | 'deregister' | 'move' | 'stop' | 'pause' | 'replace' }
>;

/** A container that runs for so long is known, where the engine is well. */
const LOOKED_MS = 20;

export interface RegisteredOptions {
  readonly kernel: Kernel;
  readonly registries: AllRegistries;
  readonly judge: RegistriesJudge;
}

export class Registered {
  /** How each ought to be registered, by its number; null: not at all. */
  readonly should: (Member | null)[] = MEMBERS.map(() => null);
  readonly zookeeper: ZookeeperRegistrar;
  private readonly options: RegisteredOptions;
  private readonly etcd: EtcdRegistrar;
  /** So many instances were replaced so far; and those that are just being replaced. */
  private replaced = 0;
  private readonly replacing = new Set<number>();
  private isOver = false;
  private readonly registrars: Readonly<Record<RegistryName, Registrar>>;

  constructor(options: RegisteredOptions) {
    this.options = options;
    const { kernel, registries } = options;
    this.etcd = new EtcdRegistrar(kernel, registries.etcd);
    this.zookeeper = new ZookeeperRegistrar(kernel, registries.zookeeper);
    this.registrars = {
      etcd: this.etcd,
      docker: new EngineRegistrar(registries.engine),
      dns: new ZoneRegistrar(registries.dns),
      zookeeper: this.zookeeper,
    };
  }

  /** Whether its registry has it so. */
  isListed(member: Member): boolean {
    return this.registrars[member.registry].isListed(member);
  }

  take(step: Change): void {
    switch (step.kind) {
      case 'register':
        return this.register(step.which, this.should[step.which] ?? MEMBERS[step.which]!);
      case 'deregister':
        return this.deregister(step.which);
      case 'move':
        return this.move(step.which);
      case 'stop':
        return this.stop(step.which);
      case 'pause':
        return this.pause(step.which, step.isOn);
      case 'replace':
        return this.replace(step);
    }
  }

  register(which: number, member: Member): void {
    const { judge } = this.options;
    const isOther = this.should[which] !== member;
    this.should[which] = member;
    if (isOther) judge.forget(which);
    // A container that runs is not started a second time.
    const registrar = this.registrars[member.registry];
    if (member.registry !== 'docker' || !registrar.isListed(member)) {
      // It may be paused, and is another one from now on.
      judge.forget(which);
      registrar.put(member);
    }
    judge.note();
  }

  /** Nothing is renewed any more. */
  close(): void {
    this.isOver = true;
    this.etcd.close();
    this.zookeeper.close();
  }

  private deregister(which: number): void {
    const known = this.should[which];
    if (known == null) return;
    this.should[which] = null;
    this.options.judge.forget(which);
    this.registrars[known.registry].remove(known);
  }

  private move(which: number): void {
    const known = this.should[which];
    if (known == null) return;
    this.register(which, { ...known, port: known.port + 20 });
  }

  /** By others, one after the other; one that is being replaced is not replaced by two at a time. */
  private replace(step: ReplaceStep): void {
    if (this.replacing.has(step.which)) return;
    this.replacing.add(step.which);
    this.replaceOnce(step, 1);
  }

  /** By one of another name, which is registered before this one leaves. */
  private replaceOnce(step: ReplaceStep, count: number): void {
    const { which, everyMs, bothMs } = step;
    const known = this.should[which];
    if (known == null || this.isOver) return;
    const { kernel, judge } = this.options;
    this.replaced += 1;
    const [name = ''] = known.name.split('-x');
    const port = MEMBERS[which]!.port + 100 * (1 + (this.replaced % 50));
    const next = { ...known, name: `${name}-x${this.replaced}`, port };
    const registrar = this.registrars[known.registry];
    registrar.put(next);
    const chance = kernel.chance(`replacing ${this.replaced}`);
    // The engine says at once that a container has ended, and what another one is it has to be asked.
    const lookedMs = known.registry === 'docker' ? LOOKED_MS : 0;
    kernel.after(lookedMs + chance.between(0, bothMs), () => {
      this.should[which] = next;
      judge.forget(which);
      registrar.remove(known, true);
      judge.note();
      if (count === step.count) this.replacing.delete(which);
      else kernel.after(chance.between(0, everyMs), () => this.replaceOnce(step, count + 1));
    });
  }

  private stop(which: number): void {
    const known = this.should[which];
    if (known?.registry !== 'docker') return;
    const { kernel, judge, registries } = this.options;
    this.should[which] = null;
    judge.forget(which);
    const tookMs = kernel.chance(`stop ${kernel.nowMs}`).between(10, 9000);
    registries.engine.stop(known.name, tookMs);
  }

  private pause(which: number, isOn: boolean): void {
    const known = this.should[which];
    if (known?.registry !== 'docker') return;
    const { judge, registries } = this.options;
    judge.forget(which);
    registries.engine.pause(known.name, isOn);
  }
}
