// The state of the process as a whole: what /api/v1/status answers and the dashboard shows on top.
import type { StatsSources } from './sources.ts';

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
  readonly problems: readonly string[];
  readonly registries: readonly RegistryStatus[];
}

export function statusOf(sources: StatsSources, startedMs: number): Status {
  const { clock, view } = sources;
  const { error, loadedMs } = sources.config();
  const state = sources.state();
  const memory = sources.memory();
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
    problems: view.problems(),
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
