// What the registries last said of each source, after the guard has looked at it, and the timers
// that let go what the guard held long enough. Knows no service and no traffic.
import type { Clock, Timer } from '../base/clock.ts';
import type { ProvidedService } from '../discovery/provider.ts';
import { sourceKey } from '../model/service.ts';
import type { GuardSettings } from '../model/settings.ts';
import { type Admitted, Guard } from './guard.ts';

interface Source {
  readonly guard: Guard;
  admitted: Admitted;
  timer: Timer | null;
}

export interface SourcesOptions {
  readonly clock: Clock;
  /** The guard's settings as they are now. */
  readonly guard: () => GuardSettings;
  /** Endpoints of this source were held long enough, and are gone. */
  readonly onRelease: (key: string) => void;
}

export class Sources {
  private readonly options: SourcesOptions;
  private readonly sources = new Map<string, Source>();

  constructor(options: SourcesOptions) {
    this.options = options;
  }

  /** Null for a source of which nothing was said. */
  admitted(key: string): Admitted | null {
    return this.sources.get(key)?.admitted ?? null;
  }

  /** Takes an answer of a registry. */
  take({ source, endpoints, doubt }: ProvidedService): void {
    const key = sourceKey(source);
    const guard = this.sources.get(key)?.guard ?? new Guard();
    const { clock, guard: settings } = this.options;
    const nowMs = clock.nowMs();
    const admitted = guard.answer(endpoints, { doubt, settings: settings(), nowMs });
    this.sources.get(key)?.timer?.cancel();
    const taken = { guard, admitted, timer: null };
    this.sources.set(key, taken);
    this.awaitRelease(key, taken);
  }

  forget(key: string): void {
    this.sources.get(key)?.timer?.cancel();
    this.sources.delete(key);
  }

  close(): void {
    for (const key of [...this.sources.keys()]) this.forget(key);
  }

  private awaitRelease(key: string, source: Source): void {
    const { clock, onRelease } = this.options;
    const { nextMs } = source.admitted;
    if (nextMs === Number.POSITIVE_INFINITY) return;
    source.timer = clock.setTimer(Math.max(0, nextMs - clock.nowMs()), () => {
      source.admitted = source.guard.admitted(clock.nowMs());
      this.awaitRelease(key, source);
      onRelease(key);
    });
  }
}
