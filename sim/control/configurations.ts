// The configurations of late: a reload takes its time, and until then what the one before it wants is right.
import { isDeepStrictEqual } from 'node:util';
import type { Settings } from '../../src/model/settings.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { type Expected, expectedTable, type Word } from './expected.ts';
import type { Judge } from './judge.ts';
import type { Registered } from './registered.ts';
import type { SimProcess } from './sim-process.ts';
import { REGISTERED } from './universe.ts';

/** Configurations of the last so long are regarded. */
const RELOAD_MS = 15_000;
/** Old addresses of a host name go after a while. */
const NAME_MS = 60_000;

export interface ConfigurationsOptions {
  readonly kernel: Kernel;
  readonly judge: Judge;
  readonly registered: Registered;
  /** What the operator has said, by `service endpoint`. */
  readonly words: ReadonlyMap<string, Word>;
  /** The one that runs. */
  readonly process: () => SimProcess | null;
}

export class Configurations {
  reloadedMs = Number.NEGATIVE_INFINITY;
  private readonly options: ConfigurationsOptions;
  private list: { settings: Settings; untilMs: number }[] = [];

  constructor(options: ConfigurationsOptions) {
    this.options = options;
  }

  /** A process begins. */
  begin(): void {
    this.list = [];
    this.note();
  }

  /** Notes what the process runs with now. */
  note(): void {
    const { kernel, judge } = this.options;
    const process = this.options.process();
    if (process === null) return;
    const { settings } = process;
    const last = this.list.at(-1)?.settings;
    if (settings !== last) judge.follow(questionsOf(settings));
    const isOther = last !== undefined && !isDeepStrictEqual(settings.registries, last.registries);
    if (isOther) judge.startOver();
    for (const one of this.list) {
      if (one.settings === settings) one.untilMs = Number.POSITIVE_INFINITY;
      else one.untilMs = Math.min(one.untilMs, kernel.nowMs + RELOAD_MS);
    }
    this.list = this.list.filter(({ untilMs }) => untilMs > kernel.nowMs);
    const at = this.list.findIndex((one) => one.settings === settings);
    const [known] = at < 0 ? [] : this.list.splice(at, 1);
    this.list.push(known ?? { settings, untilMs: Number.POSITIVE_INFINITY });
  }

  /** Another one may be on its way into force. */
  isChanging(): boolean {
    this.note();
    return this.list.length > 1 || this.options.kernel.nowMs - this.reloadedMs < RELOAD_MS;
  }

  /** Whether this is so by one of the configurations of late. */
  some(isSo: (settings: Settings) => boolean): boolean {
    this.note();
    return this.list.some(({ settings }) => isSo(settings));
  }

  /** Whether every configuration of late wants this endpoint there. */
  isWanted(service: string, id: string): boolean {
    const { kernel, registered } = this.options;
    const process = this.options.process();
    // What a process knew of a name it forgets at its end.
    const nameMs = kernel.nowMs - registered.nameChangedMs;
    if (service === 'names' && (registered.isNameGone || nameMs < NAME_MS)) return false;
    const isNoted = this.list.some(({ settings }) => settings === process?.settings);
    if (process !== null && !isNoted) this.note();
    return this.list.every(({ settings, untilMs }) => {
      if (untilMs <= kernel.nowMs) return true;
      const endpoints = this.expectedBy(settings).get(service);
      const isIt = (one: string): boolean => one === id || one.startsWith(`${id}@`);
      return endpoints !== undefined && [...endpoints.keys()].some(isIt);
    });
  }

  /** The question whose answers give the service its endpoints, as `tag|service`. */
  questionOf(service: string): string {
    const { services = [] } = this.options.process()?.settings ?? {};
    const from = services.find(({ name }) => name === service)?.from[0]?.source;
    return from === undefined ? `|${service}` : `${from.tag}|${from.service}`;
  }

  /** The table as it must be by these settings. */
  expectedBy(settings: Settings): Expected {
    const { registered } = this.options;
    return expectedTable({
      settings,
      instances: [...registered.should.values()],
      maintained: registered.maintained,
      words: this.options.words,
      isServing: (place, type) => registered.isServing(place, type),
      roleAt: (place) => registered.roleAt(place),
      holderOf: (lock) => registered.holderOf(lock),
      nameAddresses: registered.nameAddresses,
    });
  }
}

/** What is asked of Consul for these services, as the judge names it. */
function questionsOf({ services }: Settings): Set<string> {
  const asked = services.flatMap(({ from }) =>
    from.map(({ source: { tag, service } }) => `${tag}|${service}`),
  );
  return new Set(asked).union(new Set(REGISTERED.map(({ service }) => `|${service}`)));
}
