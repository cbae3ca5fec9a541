// The services of a registry that hands out its whole list at once: those that configuration names, and
// those that say of themselves where they want to be served. Knows nothing of how the list is had.
import { BOUNDS } from '../model/bounds.ts';
import { plainSource, type ServiceSource } from '../model/source.ts';
import {
  FollowedInstances,
  type FollowedInstancesOptions,
  type Listed,
  type Word,
} from './followed-instances.ts';
import { arrange, removal } from './following.ts';
import type { Update } from './provider.ts';

/** What is listed, by the name of the service. */
export type ServiceList = ReadonlyMap<string, Listed>;

const NOTHING: Listed = { instances: [], problems: [], settings: null, order: null };

export interface ListedServicesOptions
  extends Omit<FollowedInstancesOptions, 'source' | 'onUpdate'> {
  /** Whether the list, once it was had, speaks of this service too; without, of every one. */
  readonly isKnown?: (service: string) => boolean;
  /** The name that the list has for `from.service`; without, the same. */
  readonly nameOf?: (service: string) => string;
}

export class ListedServices {
  private readonly options: ListedServicesOptions;
  private readonly following = new Map<string, FollowedInstances>();
  private configured: readonly ServiceSource[] = [];
  /** Names of services that say where they want to be served. */
  private described = new Set<string>();
  private list: Map<string, Listed> | null = null;
  private onUpdate: ((update: Update) => void) | null = null;

  constructor(options: ListedServicesOptions) {
    this.options = options;
  }

  /** A list was had, and the host names of all that is followed are known or known to fail. */
  get isSynced(): boolean {
    return this.list !== null && [...this.following.values()].every(({ isSynced }) => isSynced);
  }

  get count(): number {
    return this.following.size;
  }

  follow(sources: readonly ServiceSource[]): void {
    this.configured = sources;
    const receivedMs = this.options.clock.nowMs();
    if (this.onUpdate !== null) this.arrange({ doubt: '', change: 'as known', receivedMs });
  }

  start(onUpdate: (update: Update) => void): void {
    this.onUpdate = onUpdate;
  }

  /** The whole list, as it is now. */
  take(list: ServiceList, word: Word): void {
    this.list = new Map(list);
    const now = [...list].flatMap(([name, { settings }]) => (settings === null ? [] : [name]));
    // What is missing in doubt may want to be served all the same.
    const before = word.doubt === '' ? [] : [...this.described].filter((name) => !list.has(name));
    this.described = new Set([...now, ...before].slice(0, BOUNDS.configServices.max));
    this.arrange(word);
    for (const service of this.following.values()) this.tell(service, word);
  }

  /** One service of the list, as it is now; null where nothing of it is left. The list was had before. */
  takeOne(name: string, listed: Listed | null, word: Word): void {
    if (listed === null) this.list?.delete(name);
    else this.list?.set(name, listed);
    const { described } = this;
    const wasDescribed = described.has(name);
    const hasPlace = wasDescribed || described.size < BOUNDS.configServices.max;
    const isDescribed =
      listed === null ? wasDescribed && word.doubt !== '' : listed.settings !== null && hasPlace;
    if (isDescribed !== wasDescribed) {
      if (isDescribed) described.add(name);
      else described.delete(name);
      this.arrange(word);
    }
    for (const service of this.following.values()) {
      if (this.nameOf(service.source) === name) this.tell(service, word);
    }
  }

  /** What was in doubt is in doubt no more. */
  endDoubt(nowMs: number): void {
    for (const service of this.following.values()) service.endDoubt(nowMs);
  }

  close(): void {
    this.onUpdate = null;
    for (const service of this.following.values()) service.close();
    this.following.clear();
  }

  /** Starts to follow what is wanted and isn't followed, ends what is not wanted any more. */
  private arrange(word: Word): void {
    const { provider } = this.options;
    const described = [...this.described].map((name) => plainSource(provider, name));
    arrange({
      following: this.following,
      wanted: [...this.configured, ...described],
      begin: (source) => {
        const onUpdate = (update: Update): void => this.onUpdate?.(update);
        return new FollowedInstances({ ...this.options, source, onUpdate });
      },
      begun: (service) => this.tell(service, word),
      end: (service) => {
        service.close();
        this.onUpdate?.(removal(provider, service.source, word));
      },
    });
  }

  private tell(service: FollowedInstances, word: Word): void {
    const { isKnown } = this.options;
    if (this.list === null || isKnown?.(service.source.service) === false) return;
    const missing = { ...NOTHING, settings: word.doubt === '' ? null : service.settings };
    service.take(this.list.get(this.nameOf(service.source)) ?? missing, word);
  }

  private nameOf({ service }: ServiceSource): string {
    return this.options.nameOf?.(service) ?? service;
  }
}
