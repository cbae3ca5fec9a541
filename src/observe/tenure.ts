// The stats port over the life of this process: opened, or waited for where an older process serves
// there, which hands it over when it drains (takeover.ts); given up at the end.
import type { Clock } from '../base/clock.ts';
import { CodedError, codeOf, messageOf } from '../base/coded-error.ts';
import type { Logger } from '../base/log.ts';
import { formatListen, type ListenAddress } from '../model/listener.ts';
import type { StatsSettings } from '../model/settings.ts';
import type { MaterialNow } from './over-tls.ts';
import { type StatsServer, startStatsServer } from './server.ts';
import type { StatsSources } from './sources.ts';
import type { Sibling } from './succession.ts';
import { type Holder, holderOf, Takeover } from './takeover.ts';

export interface TenureOptions {
  /** As they are at the start: what is loaded later is for the next one. */
  readonly settings: StatsSettings;
  /** Wait for the port of an older process, also of one that does not drain yet. */
  readonly mayTakeOver: boolean;
  /** The certificate of the port, where it has one. */
  readonly material: MaterialNow;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Pid of who listens there; null where that can't be found out. */
  readonly listenerPid: (listen: ListenAddress) => number | null;
}

export class Tenure {
  private readonly options: TenureOptions;
  private server: StatsServer | null = null;
  private takeover: Takeover | null = null;
  private isDraining = false;

  constructor(options: TenureOptions) {
    this.options = options;
  }

  /** Whether an older process has the port, or had it. */
  get isTakeover(): boolean {
    return this.takeover !== null;
  }

  /**
   * Opens the port, if there is to be one; resolves at once where it has to be waited for. Rejects with
   * a CodedError whose message says which process has the address.
   */
  async begin(sources: StatsSources): Promise<void> {
    const { settings, mayTakeOver, version, clock, log } = this.options;
    const { listen } = settings;
    if (listen === null) return;
    const open = (takenFrom?: Sibling) => this.open(listen, sources, takenFrom);
    try {
      const { address } = await open();
      log.info({ stats: address }, 'stats port open');
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE') throw cannotListen(listen, messageOf(error), error);
      const holder = await holderOf(listen, settings);
      if (holder === null || !(mayTakeOver || holder.isDraining)) {
        throw cannotListen(listen, this.whoHolds(listen, holder), error);
      }
      const fields = { stats: formatListen(listen), by: holder.pid, version: holder.version };
      log.info(fields, 'waiting for the stats port: another process serves there until it drains');
      this.takeover = new Takeover({ settings, listen, version, holder, clock, log, open });
    }
  }

  private async open(
    listen: ListenAddress,
    sources: StatsSources,
    takenFrom?: Sibling,
  ): Promise<StatsServer> {
    const { settings: access, material } = this.options;
    this.server = await startStatsServer({
      listen,
      access,
      sources,
      ...(access.tls === null ? {} : { tls: material }),
      ...(takenFrom === undefined ? {} : { takenFrom }),
    });
    if (this.isDraining) this.server.drain();
    return this.server;
  }

  /** Who has the address, and what can be done about it. */
  private whoHolds(listen: ListenAddress, holder: Holder | null): string {
    if (holder === null) {
      const pid = this.options.listenerPid(listen);
      return `the address is in use${pid === null ? '' : ` by process ${pid}`}`;
    }
    const { pid, version } = holder;
    return `Upriver ${version} (process ${pid}) serves there; --takeover upgrades it, --stats gives this process an address of its own`;
  }

  /** This process serves: an older one may be told to drain. */
  ready(): void {
    this.takeover?.ready();
  }

  /** Memory is short: what can be let go is. */
  shed(): void {
    this.server?.shed();
  }

  /** The port serves on, and hands itself over to who asks for it. */
  drain(): void {
    this.isDraining = true;
    this.server?.drain();
  }

  /** Waits no more. Resolves when `close` has whatever is to be closed. */
  async stopWaiting(): Promise<void> {
    this.takeover?.stop();
    await this.takeover?.server;
  }

  async close(): Promise<void> {
    await this.server?.close();
  }
}

function cannotListen(listen: ListenAddress, why: string, cause: unknown): CodedError {
  return new CodedError('listen', `stats can't listen on ${formatListen(listen)}: ${why}`, {
    cause,
  });
}
