// Registers what runs. Holds what is to be registered beside what has been, and works on the
// difference: each id by itself, again and again until the registry has taken it. So it makes no
// difference whether the engine, the registry or the registrar was away.
import { Backoff } from '../base/backoff.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { messageOf } from '../base/coded-error.ts';
import type { Logger } from '../base/log.ts';
import { pause } from '../base/pause.ts';
import type { Random } from '../base/prng.ts';
import type {
  ContainerChange,
  ContainerWatch,
  KnownContainer,
} from '../containers/container-watch.ts';
import { LookQueue } from '../containers/look-queue.ts';
import { type Desired, desiredOf, isDeregistered, isOfHost } from './desired.ts';
import type { Registered, Registration, Registry } from './registry.ts';

/** Calls to the registry at a time. */
const CALLS_MAX = 4;
const RETRY = { baseMs: 500, capMs: 15_000 };
/** So often it is looked whether the registry still has what was registered. */
const LOOK_MS = 10_000;
/** How long deregistering may take when the registrar ends. */
const LEAVE_MS = 10_000;

export interface RegistrarOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly servicesOf: (known: KnownContainer) => readonly Registration[];
  /** Whether there is a container of this id, running or not. */
  readonly exists: (containerId: string, signal: AbortSignal) => Promise<boolean>;
  /** The name of the host in the ids that are made here. */
  readonly hostname: string;
  readonly deregister: 'always' | 'on-success';
  /** Removes what was registered from this host for containers that are gone. */
  readonly isCleaning: boolean;
  /** Everything is registered again so often, ms; 0 for never. */
  readonly resyncMs: number;
  /** What goes by itself is refreshed so often, ms; 0 for never. */
  readonly refreshMs: number;
  readonly leavesOnExit: boolean;
}

interface Applied {
  readonly service: Registration;
  /** '' for what is not known to stand there as it should. */
  readonly fingerprint: string;
  /** Why it is out of service; '' where it is in. */
  readonly suspended: string;
}

export class Registrar {
  private readonly options: RegistrarOptions;
  private readonly queue: LookQueue<null>;
  private readonly stopped = new AbortController();
  private readonly backoff: Backoff;
  private watch: ContainerWatch | null = null;
  /** By container id. */
  private readonly byContainer = new Map<string, readonly Desired[]>();
  /** By service id. */
  private desired = new Map<string, Desired>();
  private readonly applied = new Map<string, Applied>();
  /** Service ids of containers that failed and are to stay registered, by container id. */
  private readonly failed = new Map<string, readonly Registration[]>();
  /** What was said of services that are left out, by container id. */
  private readonly unfit = new Map<string, string>();
  private readonly timers = new Set<Timer>();
  private retry: Timer | null = null;
  private readonly toRetry = new Set<string>();
  /** Ids that could not be brought up at the last try, and why. */
  private readonly failing = new Map<string, string>();

  constructor(options: RegistrarOptions) {
    this.options = options;
    this.backoff = new Backoff({ ...RETRY, random: options.random });
    this.queue = new LookQueue({
      width: CALLS_MAX,
      look: (id) => this.bringUp(id),
      onError: (error) => this.options.log.error({ err: messageOf(error) }, 'the registrar failed'),
    });
  }

  /** Follows these containers from now on; their changes are to be given to `onChange`. */
  start(watch: ContainerWatch): void {
    const { resyncMs, refreshMs } = this.options;
    this.watch = watch;
    this.every(LOOK_MS, () => void this.lookAtRegistry());
    if (resyncMs > 0) this.every(resyncMs, () => this.resync());
    if (refreshMs > 0) this.every(refreshMs, () => void this.refresh());
  }

  /** Resolves when all that is to be done has been done, or has been tried. */
  settled(): Promise<void> {
    return this.queue.settled();
  }

  /** The containers are other than before. */
  onChange({ changed, ended }: ContainerChange): void {
    const { watch } = this;
    if (watch === null) return;
    const concerned = new Set(changed);
    for (const { container } of watch.containers) {
      const [, owner = ''] = /^container:(.*)$/.exec(container.networkMode) ?? [];
      if (changed.has(owner)) concerned.add(container.id);
    }
    for (const id of concerned) this.takeContainer(watch.get(id), id, ended);
    this.settleWishes();
  }

  /** Everything that runs is known: what stands there of others than those may be cleaned. */
  onSynced(): void {
    void this.cleanUp();
  }

  /** Ends; what is registered stays unless it is to leave. Resolves when that is done. */
  async stop(): Promise<void> {
    const { clock, leavesOnExit, log, registry } = this.options;
    for (const timer of this.timers) timer.cancel();
    this.retry?.cancel();
    this.stopped.abort();
    this.queue.close();
    if (leavesOnExit) {
      const late = new AbortController();
      const timer = clock.setTimer(LEAVE_MS, () => late.abort());
      // What was being registered may have arrived.
      const wishes = [...this.desired.values(), ...this.applied.values()];
      const services = [...new Map(wishes.map(({ service }) => [service.id, service])).values()];
      const leaving = services.map((service) => registry.deregister(service, late.signal));
      const results = await Promise.allSettled(leaving);
      timer.cancel();
      const failed = results.filter(({ status }) => status === 'rejected').length;
      const left = services.length - failed;
      log.info({ registry: registry.label, services: left }, 'deregistered before the end');
      if (failed > 0) log.warn({ services: failed }, 'could not be deregistered before the end');
    }
    await registry.close();
  }

  private takeContainer(
    known: KnownContainer | null,
    id: string,
    ended: ContainerChange['ended'],
  ): void {
    const before = this.byContainer.get(id) ?? [];
    if (known !== null) {
      this.forgetFailed(id);
      this.byContainer.set(id, desiredOf(known, this.fitServicesOf(known)));
      return;
    }
    this.byContainer.delete(id);
    this.unfit.delete(id);
    const exitCode = ended.get(id) ?? null;
    if (isDeregistered(this.options.deregister, exitCode)) {
      this.forgetFailed(id);
      return;
    }
    if (before.length === 0) return;
    const { log } = this.options;
    const services = before.map(({ service }) => service);
    for (const service of services) {
      log.info({ id: service.id, exitCode }, 'stays registered: its container failed');
    }
    this.failed.set(id, services);
  }

  /** Its services that the registry can have; what is left out is logged when it changes. */
  private fitServicesOf(known: KnownContainer): readonly Registration[] {
    const { log, registry, servicesOf } = this.options;
    const { id, name } = known.container;
    const left: string[] = [];
    const fit = servicesOf(known).filter((service) => {
      const why = registry.unfit(service);
      if (why !== '') left.push(why);
      return why === '';
    });
    const said = left.join('; ');
    if (said !== '' && this.unfit.get(id) !== said) {
      log.warn({ container: name, services: left.length }, `not registered: ${said}`);
    }
    if (said === '') this.unfit.delete(id);
    else this.unfit.set(id, said);
    return fit;
  }

  /** It runs again, or is gone for good. */
  private forgetFailed(containerId: string): void {
    const services = this.failed.get(containerId) ?? [];
    this.failed.delete(containerId);
    for (const { id } of services) this.queue.mark(id, null);
  }

  /** Those that failed and were removed while nobody looked. */
  private async forgetRemoved(): Promise<void> {
    for (const id of [...this.failed.keys()]) {
      if (!(await this.options.exists(id, this.stopped.signal))) this.forgetFailed(id);
    }
  }

  /** Who wants an id first has it, among containers in the order in which they came. */
  private settleWishes(): void {
    const { log } = this.options;
    const before = this.desired;
    const wished = new Map<string, Desired>();
    for (const one of [...this.byContainer.values()].flat()) {
      const { id, containerId } = one.service;
      const first = wished.get(id);
      if (first === undefined) wished.set(id, one);
      else if (first.service.containerId !== containerId && before.get(id) !== one) {
        const fields = { id, containers: [first.service.containerId, containerId] };
        log.warn(fields, 'two containers want one id: the first has it');
      }
    }
    this.desired = wished;
    for (const id of new Set([...wished.keys(), ...before.keys()])) {
      if (wished.get(id) !== before.get(id)) this.queue.mark(id, null);
    }
  }

  /** Brings what stands in the registry under this id up to what is wanted. */
  private async bringUp(id: string): Promise<void> {
    const { log, registry } = this.options;
    try {
      if (await this.bringUpNow(id)) this.backoff.reset();
      if (!this.failing.delete(id) || this.failing.size > 0) return;
      log.info({ registry: registry.label }, 'the registry answers again');
    } catch (error) {
      if (!this.stopped.signal.aborted) this.onFailure(id, error);
    }
  }

  /** True where the registry was written to. */
  private async bringUpNow(id: string): Promise<boolean> {
    const { registry, log } = this.options;
    const { signal } = this.stopped;
    const wanted = this.desired.get(id);
    const there = this.applied.get(id);
    if (wanted === undefined) {
      if (there === undefined || this.isKept(id)) return false;
      await registry.deregister(there.service, signal);
      this.applied.delete(id);
      log.info({ id, service: there.service.name }, 'deregistered');
      return true;
    }
    const { service, state, reason } = wanted;
    if (state === 'waiting') return false;
    if (state === 'suspended') {
      if (there === undefined || there.suspended === reason) return false;
      await registry.suspend(there.service, reason, signal);
      this.applied.set(id, { ...there, suspended: reason });
      log.info({ id, service: service.name, reason }, 'taken out of service');
      return true;
    }
    const fingerprint = JSON.stringify(service);
    if (there?.fingerprint === fingerprint && there.suspended === '') return false;
    if (there !== undefined && there.service.name !== service.name) {
      await registry.deregister(there.service, signal);
    }
    await registry.register(service, signal);
    this.applied.set(id, { service, fingerprint, suspended: '' });
    const at = `${service.ip}:${service.port}`;
    // What is refreshed every few seconds is no news.
    const level = there !== undefined && there.suspended === '' ? 'debug' : 'info';
    log[level]({ id, service: service.name, at }, 'registered');
    return true;
  }

  private isKept(id: string): boolean {
    return [...this.failed.values()].flat().some((service) => service.id === id);
  }

  private onFailure(id: string, error: unknown): void {
    const { clock, log, registry } = this.options;
    const why = messageOf(error);
    const fields = { registry: registry.label, id };
    // What fails for all of them is told once.
    const isTold = [...this.failing.values()].includes(why);
    if (!isTold) log.warn(fields, `registration failed, retrying: ${why}`);
    this.failing.set(id, why);
    this.toRetry.add(id);
    if (this.retry !== null) return;
    this.retry = clock.setTimer(this.backoff.nextMs(100), () => {
      this.retry = null;
      const ids = [...this.toRetry];
      this.toRetry.clear();
      for (const one of ids) this.queue.mark(one, null);
    });
  }

  /** Puts off the end of what goes by itself. Those that failed are left to go. */
  private async refresh(): Promise<void> {
    const { registry, log } = this.options;
    const live = [...this.applied].filter(([id, { suspended }]) => {
      return (
        suspended === '' && this.desired.get(id)?.state !== 'suspended' && this.desired.has(id)
      );
    });
    try {
      const services = live.map(([, { service }]) => service);
      const lost = await registry.refresh(services, this.stopped.signal);
      for (const id of lost) this.sayAgain(id);
    } catch (error) {
      if (this.stopped.signal.aborted) return;
      const text = `can't be refreshed: ${messageOf(error)}`;
      log.warn({ registry: registry.label }, text);
      // Each is registered again as soon as that may be: it may end before the next time.
      for (const [id] of live) this.sayAgain(id);
    }
  }

  /** Registers everything again, as if for the first time. */
  private resync(): void {
    for (const id of this.applied.keys()) this.sayAgain(id);
    void this.cleanUp();
  }

  private sayAgain(id: string): void {
    const applied = this.applied.get(id);
    if (applied === undefined || applied.suspended !== '' || !this.desired.has(id)) return;
    this.applied.set(id, { ...applied, fingerprint: '' });
    this.queue.mark(id, null);
  }

  /** What the registry has lost is registered again: an agent may have begun with nothing. */
  private async lookAtRegistry(): Promise<void> {
    const { registry } = this.options;
    try {
      const listed = new Set((await registry.list(this.stopped.signal)).map(({ id }) => id));
      for (const [id, { suspended }] of this.applied) {
        // Out of service may be out of the list.
        if (listed.has(id) || suspended !== '' || this.queue.isBusyWith(id)) continue;
        this.applied.delete(id);
        this.queue.mark(id, null);
      }
    } catch {
      // The next write to it reports that it is away.
    }
  }

  /**
   * What the registry has of this host: what is to be there is adopted, as it may be suspended; what
   * belongs to no container that runs is removed, if that is wanted.
   */
  private async cleanUp(): Promise<void> {
    const { registry, clock, random } = this.options;
    const { signal } = this.stopped;
    const backoff = new Backoff({ ...RETRY, random });
    while (!signal.aborted) {
      try {
        for (const listed of await registry.list(signal)) {
          const wanted = this.desired.get(listed.id);
          if (wanted !== undefined) this.adopt(wanted, listed);
          else if (this.isGhost(listed)) await this.removeGhost(listed);
        }
        await this.forgetRemoved();
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.options.log.debug(
          { registry: registry.label },
          `can't be listed: ${messageOf(error)}`,
        );
        await pause(clock, backoff.nextMs(100), signal);
      }
    }
  }

  /** To be removed: registered by a registrar of this host, for a container that does not run. */
  private isGhost({ id }: Registered): boolean {
    const { isCleaning, hostname } = this.options;
    return isCleaning && isOfHost(id, hostname) && !this.isKept(id);
  }

  private adopt({ service }: Desired, { isSuspended }: Registered): void {
    if (!isSuspended && this.applied.has(service.id)) return;
    if (this.queue.isBusyWith(service.id)) return;
    const suspended = isSuspended ? 'suspended before' : '';
    this.applied.set(service.id, { service, fingerprint: '', suspended });
    this.queue.mark(service.id, null);
  }

  private async removeGhost(service: Pick<Registration, 'id' | 'name'>): Promise<void> {
    const { registry, log } = this.options;
    await registry.deregister(service, this.stopped.signal);
    this.applied.delete(service.id);
    log.info({ id: service.id, service: service.name }, 'removed: its container is gone');
  }

  private every(ms: number, run: () => void): void {
    const { clock } = this.options;
    const timer = clock.setTimer(ms, () => {
      this.timers.delete(timer);
      if (this.stopped.signal.aborted) return;
      run();
      this.every(ms, run);
    });
    this.timers.add(timer);
  }
}
