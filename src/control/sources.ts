// What the registries last said of each source, after the guard has looked at it, and the timers
// that let go what the guard held long enough. Knows no service and no traffic.
// Who is left out of an answer takes no settings of the source along: neither instances that are
// held, nor the last one. Its listener stays open and answers 503. An answer in doubt that names the
// instances and not the settings may lack those as well: they are held as instances are.
import type { Clock, Timer } from '../base/clock.ts';
import type { ProvidedService, ServiceSettings } from '../discovery/provider.ts';
import type { KeptSource } from '../model/kept.ts';
import type { GuardSettings } from '../model/settings.ts';
import { type ServiceSource, sourceKey } from '../model/source.ts';
import { type Admitted, Guard, LOOK_MS, type Moment } from './guard.ts';

const NEVER_MS = Number.POSITIVE_INFINITY;

interface Source {
  readonly source: ServiceSource;
  /** What it says of itself now, and what it said before its instances were left out. */
  readonly said: ServiceSettings | null;
  settings: ServiceSettings | null;
  /** Until then settings are held that an answer in doubt has left out; Infinity: none are. */
  lapseMs: number;
  readonly problems: readonly string[];
  readonly guard: Guard;
  admitted: Admitted;
  timer: Timer | null;
}

export interface SourcesOptions {
  readonly clock: Clock;
  /** The guard's settings as they are now. */
  readonly guard: () => GuardSettings;
  /** Whether an active check of ours has found this endpoint of a source good. */
  readonly isPassing: (key: string, endpointId: string) => boolean;
  /** The registry does not answer for this source now. */
  readonly isFailing: (source: ServiceSource) => boolean;
  /** Endpoints of this source were held long enough, and are gone; what it says may have changed. */
  readonly onRelease: (source: ServiceSource) => void;
}

export class Sources {
  private readonly options: SourcesOptions;
  private readonly sources = new Map<string, Source>();
  /** Keys of those with problems, by the name in the registry. */
  private readonly wrong = new Map<string, Set<string>>();

  constructor(options: SourcesOptions) {
    this.options = options;
  }

  /** Null for a source of which nothing was said. */
  admitted(key: string): Admitted | null {
    return this.sources.get(key)?.admitted ?? null;
  }

  /** What the source says of itself, held instances included; null where it says nothing. */
  settingsOf(key: string): ServiceSettings | null {
    return this.sources.get(key)?.settings ?? null;
  }

  /** Takes an answer of a registry. */
  take(service: ProvidedService): void {
    const { source, settings: said, problems = [], endpoints } = service;
    const key = sourceKey(source);
    const known = this.sources.get(key);
    const guard = known?.guard ?? new Guard();
    const admitted = guard.answer(service, this.moment(source));
    known?.timer?.cancel();
    const isSilent = endpoints.length === 0 || guard.isHolding;
    const lapseMs = isSilent || said !== null ? NEVER_MS : this.lapseMs(service, known);
    const isHeld = lapseMs > this.options.clock.nowMs() && lapseMs < NEVER_MS;
    const settings = said ?? (isSilent || isHeld ? (known?.settings ?? null) : null);
    const taken = { source, said, settings, lapseMs, problems, guard, admitted, timer: null };
    this.sources.set(key, taken);
    this.setWrong(source, key, problems.length > 0);
    this.awaitRelease(key, taken);
  }

  /** When settings go that this answer does not have; NEVER_MS where none are held. */
  private lapseMs({ doubt }: ProvidedService, known: Source | undefined): number {
    const { clock, guard } = this.options;
    const { enabled, holdMs } = guard();
    if (!enabled || doubt === '' || (known?.settings ?? null) === null) return NEVER_MS;
    const isRunning = known!.lapseMs < NEVER_MS && !known!.guard.isAfterOutage;
    return isRunning ? known!.lapseMs : clock.nowMs() + holdMs;
  }

  /** What its instances say that is wrong. */
  problemsOf(key: string): readonly string[] {
    return this.sources.get(key)?.problems ?? [];
  }

  /** Names in the registry of sources whose instances say something that is wrong. */
  get wrongNames(): Iterable<string> {
    return this.wrong.keys();
  }

  /** Keys of the sources of this name whose instances say something that is wrong. */
  wrongOf(name: string): readonly string[] {
    return [...(this.wrong.get(name) ?? [])];
  }

  private setWrong({ service }: ServiceSource, key: string, isWrong: boolean): void {
    const keys = this.wrong.get(service) ?? new Set();
    if (isWrong) keys.add(key);
    else keys.delete(key);
    if (keys.size > 0) this.wrong.set(service, keys);
    else this.wrong.delete(service);
  }

  /** All that is admitted now, what is held included. */
  kept(): KeptSource[] {
    return [...this.sources.values()].map(({ source, settings, admitted }) => {
      return { source, settings, endpoints: admitted.endpoints };
    });
  }

  /** The source is wanted by no service any more: what it said is dropped at once. */
  forget(key: string): void {
    const known = this.sources.get(key);
    known?.timer?.cancel();
    this.sources.delete(key);
    if (known !== undefined) this.setWrong(known.source, key, false);
  }

  close(): void {
    for (const key of [...this.sources.keys()]) this.forget(key);
  }

  private awaitRelease(key: string, source: Source): void {
    const { clock, onRelease } = this.options;
    const lapseMs = source.settings === source.said ? NEVER_MS : source.lapseMs;
    const nextMs = Math.min(source.admitted.nextMs, lapseMs);
    if (nextMs === NEVER_MS) return;
    source.timer = clock.setTimer(Math.max(0, nextMs - clock.nowMs()), () => {
      const moment = this.moment(source.source);
      source.admitted = source.guard.admitted(moment);
      if (moment.isFailing && source.lapseMs < NEVER_MS)
        source.lapseMs = Math.max(source.lapseMs, moment.nowMs + LOOK_MS);
      const isEmpty = source.admitted.endpoints.length === 0;
      const hasLapsed = clock.nowMs() >= source.lapseMs || source.lapseMs === NEVER_MS;
      if (hasLapsed && !source.guard.isHolding && !isEmpty) source.settings = source.said;
      this.awaitRelease(key, source);
      onRelease(source.source);
    });
  }

  private moment(source: ServiceSource): Moment {
    const { clock, guard, isFailing, isPassing } = this.options;
    const key = sourceKey(source);
    return {
      nowMs: clock.nowMs(),
      settings: guard(),
      isPassing: (id) => isPassing(key, id),
      isFailing: isFailing(source),
    };
  }
}
