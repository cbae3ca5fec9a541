// What is so in truth while a run goes: who ought to be registered, what answers behind each endpoint, to
// which addresses the host name leads, and Consul's own state, of which those who register make the most.
import type { Probe } from '../../src/health/checker.ts';
import type { CheckOutcome, Role } from '../../src/health/outcome.ts';
import type { CheckType, HealthCheck } from '../../src/model/service.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { systemError } from '../kernel/system-error.ts';
import { LAST_RESORT } from './guided/shape.ts';
import { NETWORKS, PLACES } from './guided/trust.ts';
import type { ServerTrouble, Step } from './plan.ts';
import type { SimConsul } from './sim-consul.ts';
import * as truth from './truth.ts';
import { type Instance, keyOf, NODES } from './truth.ts';
import { HOST_NAME, placeOf, REGISTERED } from './universe.ts';

interface Server {
  how: ServerTrouble | null;
  /** What it says that it is, to who asks for that. */
  role: Role;
  /** Since when it answers well. */
  wellSinceMs: number;
}

/** What a change of one endpoint, or of its registration, is. */
type Change = Extract<
  Step,
  { kind: 'register' | 'deregister' | 'move' | 'describe' | 'status' | 'maintenance' }
>;

export interface RegisteredOptions {
  readonly kernel: Kernel;
  readonly consul: SimConsul;
  /** An instance is registered so from now on; null: no more. `isAccepted`: it may get traffic. */
  readonly onTruth: (key: string, instance: Instance | null, isAccepted: boolean) => void;
  /** Whoever asks at this place is told of it, until the signal. */
  readonly onProbe: (place: string, signal: AbortSignal) => void;
  /** A check of this place has ended so. */
  readonly onOutcome: (place: string, outcome: CheckOutcome) => void;
  /** Consul has begun anew; all are back after so long. */
  readonly onEmptied: (afterMs: number) => void;
}

export class Registered {
  /** By `node/id`. */
  readonly should = new Map<string, Instance>();
  readonly maintained = new Set<string>();
  nameAddresses: readonly string[] = ['10.5.0.1'];
  isNameGone = false;
  nameChangedMs = Number.NEGATIVE_INFINITY;
  private readonly options: RegisteredOptions;
  private readonly servers: Server[] = REGISTERED.map(() => ({
    how: null,
    role: 'replica',
    wellSinceMs: -1e9,
  }));
  private readonly places = new Map<string, number>();
  /** Where who describes `rogue` wants to listen. */
  rogueListen = PLACES[0]!.listen;
  /** Consul is down: who registers does so when it is back. */
  isAway = false;

  constructor(options: RegisteredOptions) {
    this.options = options;
  }

  // Who registers

  take(step: Change): void {
    const { consul, kernel } = this.options;
    const { nowMs } = kernel;
    const key = keyOf(REGISTERED[step.which]!);
    const known = this.should.get(key);
    switch (step.kind) {
      case 'register':
        return this.register(step.which, step.weight);
      case 'deregister':
        this.setShould(key, null);
        return consul.write(truth.withoutInstance(consul.state, nowMs, key));
      case 'move':
        if (known !== undefined) this.putInstance(step.which, { ...known, port: known.port + 20 });
        return;
      case 'describe':
        return this.describe(step.which);
      default: {
        if (known === undefined) return;
        const change =
          step.kind === 'status' ? { status: step.status } : { isInMaintenance: step.isOn };
        this.setShould(key, { ...known, ...change });
        consul.write(truth.withStatus(consul.state, nowMs, { key, ...change }));
      }
    }
  }

  register(which: number, weight: number): void {
    const base = REGISTERED[which]!;
    const key = keyOf(base);
    const known = this.should.get(key) ?? base;
    const tags = base.service === 'rogue' ? this.rogueTags : known.tags;
    this.putInstance(which, { ...known, tags, weight });
  }

  maintainNode(which: number, isOn: boolean): void {
    const { consul, kernel } = this.options;
    const node = NODES[which]!;
    if (isOn) this.maintained.add(node);
    else this.maintained.delete(node);
    for (const [key, one] of this.should) if (one.node === node) this.tellTruth(key);
    if (this.isAway) return;
    consul.write(truth.withNodeMaintenance(consul.state, kernel.nowMs, { node, isOn }));
  }

  restartEmpty({ downMs, backMs }: { downMs: number; backMs: number }): void {
    const { consul, kernel } = this.options;
    if (kernel.trace.isOn) kernel.trace.add(kernel.nowMs, 'Consul begins anew');
    consul.restartEmpty(downMs);
    this.isAway = true;
    this.options.onEmptied(downMs + backMs);
    const chance = kernel.chance(`back ${kernel.nowMs}`);
    kernel.after(downMs, () => {
      this.isAway = false;
      for (const node of this.maintained) {
        consul.write(truth.withNodeMaintenance(consul.state, kernel.nowMs, { node, isOn: true }));
      }
      for (const key of [...this.should.keys()]) {
        kernel.after(chance.between(0, backMs), () => {
          const one = this.should.get(key);
          if (one === undefined || this.isAway || consul.state.instances.has(key)) return;
          consul.write(truth.withInstance(consul.state, kernel.nowMs, one));
        });
      }
    });
  }

  private describe(which: number): void {
    const { service } = REGISTERED[which]!;
    for (const [i, one] of REGISTERED.entries()) {
      const known = this.should.get(keyOf(one));
      if (one.service !== service || known === undefined) continue;
      this.putInstance(i, toggled(known, one));
    }
  }

  /** Its registration has the tag from now on, or has it no more. */
  tag(which: number, tag: string, isOn: boolean): void {
    const known = this.should.get(keyOf(REGISTERED[which]!));
    if (known === undefined) return;
    const others = known.tags.filter((one) => one !== tag);
    this.putInstance(which, { ...known, tags: isOn ? [...others, tag] : others });
  }

  /** All who describe `rogue` want another listener. */
  listenAt(place: number): void {
    this.rogueListen = PLACES[place]!.listen;
    for (const [i, one] of REGISTERED.entries()) {
      const known = this.should.get(keyOf(one));
      if (one.service !== 'rogue' || known === undefined) continue;
      this.putInstance(i, { ...known, tags: this.rogueTags });
    }
  }

  private get rogueTags(): readonly string[] {
    return [`upriver.listen=${this.rogueListen}`];
  }

  /** It registers again, at an address of this network. */
  roam(which: number, network: number): void {
    const known = this.should.get(keyOf(REGISTERED[which]!));
    if (known === undefined) return;
    const { address } = NETWORKS[network]!;
    this.putInstance(which, { ...known, address, port: known.port + 20 });
  }

  private putInstance(which: number, instance: Instance): void {
    const { consul, kernel } = this.options;
    const server = this.servers[which]!;
    this.places.set(placeOf(instance), which);
    server.wellSinceMs = Math.max(server.wellSinceMs, kernel.nowMs);
    this.setShould(keyOf(instance), instance);
    if (!this.isAway) consul.write(truth.withInstance(consul.state, kernel.nowMs, instance));
  }

  private setShould(key: string, instance: Instance | null): void {
    if (instance === null) this.should.delete(key);
    else this.should.set(key, instance);
    this.tellTruth(key);
  }

  private tellTruth(key: string): void {
    const one = this.should.get(key) ?? null;
    const isBarred =
      one === null ||
      one.status === 'critical' ||
      one.isInMaintenance ||
      this.maintained.has(one.node);
    this.options.onTruth(key, one, !isBarred);
  }

  /** Names of who holds the lock of this key in truth; none: nobody. */
  holderOf(lock: string): readonly string[] {
    const { text = '', session = '' } = this.options.consul.state.keys.get(lock) ?? {};
    if (session === '') return [];
    return [text, session.slice('session-'.length)].filter((name) => name !== '');
  }

  // What is behind the endpoints

  /** Whether its server answers a check of this type well. */
  isServing(place: string, type: CheckType): boolean {
    const how = this.troubleAt(place);
    return how === null || (how === 'answers 500' && type === 'tcp');
  }

  roleAt(place: string): Role {
    return this.servers[this.places.get(place) ?? -1]?.role ?? 'replica';
  }

  setRole(which: number, role: Role): void {
    const server = this.servers[which]!;
    server.role = role;
    server.wellSinceMs = this.options.kernel.nowMs;
  }

  private troubleAt(place: string): ServerTrouble | null {
    if (place === LAST_RESORT) return null;
    const server = this.servers[this.places.get(place) ?? -1];
    return server === undefined ? 'refuses' : server.how;
  }

  /** How long the server behind this endpoint has answered well, ms. */
  wellMs(id: string): number {
    const one = this.should.get(id);
    if (one === undefined) return 0;
    const server = this.servers[this.places.get(placeOf(one)) ?? -1];
    // A replica may be down because it is one.
    const isBarred = one.service === 'db' && server?.role === 'replica';
    const isWell = server !== undefined && server.how === null && !isBarred;
    return isWell ? this.options.kernel.nowMs - server.wellSinceMs : 0;
  }

  breakServer({ server: which, how }: Extract<Step, { kind: 'server' }>, untilMs: number): void {
    const server = this.servers[which]!;
    server.how = how;
    this.options.kernel.at(untilMs, () => this.recover(server, how));
  }

  private recover(server: Server, how: ServerTrouble): void {
    if (server.how !== how) return;
    server.how = null;
    server.wellSinceMs = this.options.kernel.nowMs;
  }

  readonly probe: Probe = (check, { address, port }, signal) => {
    const { kernel, onProbe, onOutcome } = this.options;
    const place = `${address}:${port}`;
    const how = this.troubleAt(place);
    onProbe(place, signal);
    return new Promise((resolve) => {
      const tookMs = how === 'is silent' ? check.timeoutMs : 2;
      const outcome = this.outcomeAt(place, check);
      const timer = kernel.after(tookMs, () => {
        signal.removeEventListener('abort', abort);
        resolve(outcome);
        onOutcome(place, outcome);
      });
      const abort = (): void => {
        timer.cancel();
        resolve({ isGood: false, text: 'aborted' });
      };
      signal.addEventListener('abort', abort, { once: true });
    });
  };

  private outcomeAt(place: string, { type, wantsRole }: HealthCheck): CheckOutcome {
    if (!this.isServing(place, type)) {
      return { isGood: false, text: `${place} ${this.troubleAt(place)}` };
    }
    if (!wantsRole) return { isGood: true, text: 'answered' };
    const role = this.roleAt(place);
    // As Patroni answers who asks for its primary.
    return { isGood: type !== 'http' || role === 'primary', text: `is the ${role}`, role };
  }

  // The host name

  changeName(isGone: boolean): void {
    const { nowMs } = this.options.kernel;
    this.isNameGone = isGone;
    this.nameChangedMs = nowMs;
    if (!isGone) this.nameAddresses = [`10.5.0.${1 + (Math.floor(nowMs) % 200)}`];
  }

  resolve(): Promise<{ addresses: readonly string[]; ttlMs: number }> {
    return new Promise((resolve, reject) => {
      this.options.kernel.after(3, () => {
        if (this.isNameGone) reject(systemError('ENOTFOUND', `queryA ENOTFOUND ${HOST_NAME}`));
        else resolve({ addresses: this.nameAddresses, ttlMs: 10_000 });
      });
    });
  }

  /** All servers answer, and the name leads somewhere. */
  endFaults(): void {
    // It is looked up again a while later.
    if (this.isNameGone) this.nameChangedMs = this.options.kernel.nowMs;
    this.isNameGone = false;
    for (const server of this.servers) {
      if (server.how !== null) this.recover(server, server.how);
    }
  }
}

/** Its description, or for others a weight of its own, taken away or given back. */
function toggled(known: Instance, base: Instance): Instance {
  if (base.service === 'meta') {
    return { ...known, meta: Object.keys(known.meta).length > 0 ? {} : base.meta };
  }
  const own = base.service === 'shop' ? 'upriver.listen=9500' : 'upriver.weight=3';
  const has = known.tags.includes(own);
  const tags = has ? known.tags.filter((tag) => tag !== own) : [...known.tags, own];
  return { ...known, tags };
}
