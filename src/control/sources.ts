// What the registries last said of each source, after the guard has looked at it, and the timers
// that let go what the guard held long enough. Knows no service and no traffic.
import type { Clock, Timer } from '../base/clock.ts';
import type { ProvidedService, ServiceSettings } from '../discovery/provider.ts';
import type { KeptSource } from '../model/kept.ts';
import type { GuardSettings } from '../model/settings.ts';
import { type ServiceSource, sourceKey } from '../model/source.ts';
import { type Admitted, Guard, type Moment } from './guard.ts';

interface Source {
  readonly source: ServiceSource;
  readonly settings: ServiceSettings | null;
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
  /** Endpoints of this source were held long enough, and are gone. */
  readonly onRelease: (key: string) => void;
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

  /** Takes an answer of a registry. */
  take(service: ProvidedService): void {
    const { source, settings, problems = [] } = service;
    const key = sourceKey(source);
    const guard = this.sources.get(key)?.guard ?? new Guard();
    const admitted = guard.answer(service, this.moment(key));
    this.sources.get(key)?.timer?.cancel();
    const taken = { source, settings, problems, guard, admitted, timer: null };
    this.sources.set(key, taken);
    this.setWrong(source, key, problems.length > 0);
    this.awaitRelease(key, taken);
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
    const { nextMs } = source.admitted;
    if (nextMs === Number.POSITIVE_INFINITY) return;
    source.timer = clock.setTimer(Math.max(0, nextMs - clock.nowMs()), () => {
      source.admitted = source.guard.admitted(this.moment(key));
      this.awaitRelease(key, source);
      onRelease(key);
    });
  }

  private moment(key: string): Moment {
    const { clock, guard, isPassing } = this.options;
    return { nowMs: clock.nowMs(), settings: guard(), isPassing: (id) => isPassing(key, id) };
  }
}
