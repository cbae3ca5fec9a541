// The state of the process as a whole: what /api/v1/status answers and the dashboard shows on top.
import type { AcmeStatus } from '../model/acme.ts';
import type { StatsSources } from './sources.ts';
import type { Sibling, Successor } from './succession.ts';

export interface RegistryStatus {
  readonly name: string;
  readonly address: string;
  readonly synced: boolean;
  /** Null before its first answer. */
  readonly sync_age_seconds: number | null;
  readonly errors: number;
  readonly last_error: string;
  readonly watches: number;
}

export interface Status {
  readonly version: string;
  readonly node: string;
  readonly pid: number;
  /** ms since the epoch. */
  readonly started: number;
  readonly uptime_seconds: number;
  readonly workers: number;
  readonly table_version: number;
  readonly live: { readonly ok: boolean; readonly reason: string };
  readonly ready: { readonly ready: boolean; readonly reason: string };
  readonly config: { readonly error: string; readonly loaded: number };
  readonly state: {
    readonly file: string;
    /** ms since the epoch; null where it was never written. */
    readonly written: number | null;
    readonly error: string;
    readonly warm_services: readonly string[];
  } | null;
  readonly memory: { readonly short: boolean; readonly resident: number; readonly max: number };
  /** Listeners that another process listens on as well; `pid` null where it can't be found. */
  readonly shared_ports: readonly { readonly listen: string; readonly pid: number | null }[];
  /** The other processes of an upgrade: who had the stats port before, who waits for it. */
  readonly takeover: { readonly from: Sibling | null; readonly successor: Successor | null };
  readonly certificates: readonly {
    readonly file: string;
    readonly names: readonly string[];
    /** ms since the epoch; null where none could be read. */
    readonly expires: number | null;
    readonly fingerprint: string;
    readonly problem: string;
    /** Where it is ordered from a certificate authority; times in ms since the epoch. */
    readonly acme?: {
      readonly directory: string;
      readonly domains: readonly string[];
      readonly state: AcmeStatus['state'];
      readonly renewed: number | null;
      readonly next: number;
      readonly renewals: number;
      readonly failures: number;
      readonly error: string;
    };
  }[];
  readonly problems: readonly string[];
  readonly registries: readonly RegistryStatus[];
}

type AcmePart = NonNullable<Status['certificates'][number]['acme']>;

/** What the stats port knows of itself. */
export interface PortFacts {
  /** ms since the epoch. */
  readonly startedMs: number;
  readonly takenFrom: Sibling | null;
  readonly successor: Successor | null;
}

/** What `/api/v1/status` answers, as of now. */
export function statusOf(sources: StatsSources, facts: PortFacts): Status {
  const { startedMs, takenFrom, successor } = facts;
  const { clock, view } = sources;
  const { error, loadedMs } = sources.config();
  const state = sources.state();
  const memory = sources.memory();
  const certificates = sources.certificates();
  return {
    version: sources.version,
    node: process.versions.node,
    pid: process.pid,
    started: startedMs,
    uptime_seconds: Math.round((clock.wallMs() - startedMs) / 1000),
    workers: sources.workers,
    table_version: view.version,
    live: sources.liveness(),
    ready: sources.readiness(),
    config: { error, loaded: loadedMs },
    state: state && {
      file: state.file,
      written: state.writtenMs,
      error: state.error,
      warm_services: state.warm,
    },
    memory: { short: memory.isShort, resident: memory.resident, max: memory.max },
    shared_ports: sources.sharedPorts(),
    takeover: { from: takenFrom, successor },
    certificates: certificates.list.map(({ untilMs, acme, ...one }) => ({
      ...one,
      expires: untilMs,
      ...(acme === undefined ? {} : { acme: acmeOf(acme) }),
    })),
    problems: [...view.problems(), ...certificates.problems],
    registries: sources.providers().map((provider) => ({
      name: provider.name,
      address: provider.address,
      synced: provider.isSynced,
      sync_age_seconds:
        provider.lastSyncMs === 0
          ? null
          : Math.max(0, Math.round(clock.nowMs() - provider.lastSyncMs) / 1000),
      errors: provider.errors,
      last_error: provider.lastError,
      watches: provider.watches,
    })),
  };
}

function acmeOf({ renewedMs, nextMs, ...acme }: AcmeStatus): AcmePart {
  return { ...acme, renewed: renewedMs, next: nextMs };
}
