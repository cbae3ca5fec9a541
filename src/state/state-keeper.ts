// Warm start: what the registries last said is kept in a file, and where a registry doesn't answer
// at the start, that is served until it does. Its word is asked for as before, also for services
// that described themselves; those that it doesn't know any more go after a while.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Update } from '../discovery/provider.ts';
import type { Kept, KeptChecks } from '../model/kept.ts';
import type { Settings } from '../model/settings.ts';
import { type ServiceSource, sourceKey } from '../model/source.ts';
import type { Disk } from './disk.ts';
import { fingerprintsOf } from './fingerprint.ts';
import { StateFile } from './state-file.ts';
import { WarmTable } from './warm-table.ts';

export interface StateKeeperOptions {
  /** '' keeps nothing. */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly disk: Disk;
  readonly settings: () => Settings;
  /** What is to be kept now. */
  readonly kept: () => Kept;
  /** Every registry has answered for everything. */
  readonly isSynced: () => boolean;
}

export interface StateStatus {
  readonly file: string;
  /** When the file was written last, ms since the epoch; null where it was not. */
  readonly writtenMs: number | null;
  /** Why it can't be written; '' where it can. */
  readonly error: string;
  /** Services that are served from it, since their registry has not answered yet. */
  readonly warm: readonly string[];
}

export class StateKeeper {
  private readonly options: StateKeeperOptions;
  private readonly file: StateFile | null;
  private table: WarmTable;
  private checks: readonly KeptChecks[] = [];
  private hasHeard = false;
  /** What described itself in the file that is served: to be asked for, whoever configures it. */
  followed: readonly ServiceSource[] = [];

  constructor(options: StateKeeperOptions) {
    this.options = options;
    const { path, clock, log, disk } = options;
    this.file =
      path === '' ? null : new StateFile({ path, clock, log, disk, state: () => this.stateNow() });
    this.table = new WarmTable(null, clock);
  }

  /** Reads the file. Never rejects: one that is of no use is said and ignored. */
  async read(): Promise<void> {
    const { clock, settings } = this.options;
    const state = (await this.file?.read(fingerprintsOf(settings().registries))) ?? null;
    this.table = new WarmTable(state, clock);
    this.checks = state?.checks ?? [];
  }

  /** There is something to serve from while a registry doesn't answer. */
  get hasTable(): boolean {
    return this.table.unspoken.length > 0;
  }

  /** Why what is served is not a registry's word; '' where it is. */
  get reason(): string {
    const { inUse, reason } = this.table;
    return inUse.length === 0 ? '' : `${inUse.length} services ${reason}`;
  }

  /** Serves from the file, from now on, what no registry has spoken of yet. */
  serve(wanted: readonly ServiceSource[]): { updates: Update[]; checks: readonly KeptChecks[] } {
    const updates = this.table.serve(wanted);
    this.followed = this.table.described;
    const { log, path } = this.options;
    if (updates.length > 0) log.warn({ file: path, services: this.table.inUse }, this.reason);
    return { updates, checks: this.checks };
  }

  /** A registry has spoken; returns what is to be made of it. */
  pass(update: Update): Update {
    const wasInUse = this.table.isInUse;
    const passed = this.table.pass(update);
    if (update.provider !== 'static') this.hasHeard = true;
    if (wasInUse && !this.table.isInUse) {
      this.options.log.info({}, 'warm start complete');
    }
    return passed;
  }

  /** These sources are followed from now on, and no others. */
  release(followed: readonly ServiceSource[]): void {
    this.table.release(followed);
  }

  /** Services that described themselves, and that the registry doesn't know, are given up. */
  endFollowing(): void {
    this.followed = [];
  }

  /** Something that is kept may have changed. */
  touch(): void {
    this.file?.touch();
  }

  async close(): Promise<void> {
    await this.file?.close();
  }

  /** Null without a state file. */
  get status(): StateStatus | null {
    if (this.file === null) return null;
    const { error, writtenMs } = this.file;
    const lastMs = writtenMs || this.table.writtenMs;
    const { path: file } = this.options;
    return { file, writtenMs: lastMs === 0 ? null : lastMs, error, warm: this.table.inUse };
  }

  /** Null while no registry has said a word: what is in the file is not made newer than it is. */
  private stateNow() {
    const { clock, kept, settings, isSynced } = this.options;
    if (!this.hasHeard) return null;
    if (isSynced()) this.table.forgetRest();
    const { sources, checks } = kept();
    const known = new Set(sources.map(({ source }) => sourceKey(source)));
    const rest = this.table.unspoken.filter(({ source }) => !known.has(sourceKey(source)));
    return {
      writtenMs: clock.wallMs(),
      fingerprints: fingerprintsOf(settings().registries),
      sources: [...sources, ...rest],
      checks,
    };
  }
}
