// The configuration over time: the file is read again when it changes or when it is asked to, and
// the overlay in the registry when it is told. A configuration with problems is refused as a whole;
// the one that runs stays.
import { createHash } from 'node:crypto';
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock, Timer } from '../base/clock.ts';
import { messageOf } from '../base/coded-error.ts';
import type { Logger } from '../base/log.ts';
import type { Settings } from '../model/settings.ts';
import type { Environment } from './environment.ts';
import type { RunFlags } from './flags.ts';
import { type LoadResult, loadSettings } from './load.ts';
import { formatProblem, type Problem } from './problem.ts';

/** Editors write in several steps; so long nothing may happen before the file is read. */
const SETTLE_MS = 50;

export interface ConfigSourceOptions {
  readonly flags: RunFlags;
  readonly env: Environment;
  /** '' for none. */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** A configuration without problems that differs from the last. */
  readonly onSettings: (settings: Settings, why: string) => void;
}

/** What became of the last attempt to load. */
export interface ConfigStatus {
  /** The problems of a refused configuration, or ''. */
  readonly error: string;
  /** ms since the epoch when the running configuration was loaded. */
  readonly loadedMs: number;
}

export class ConfigSource {
  private readonly options: ConfigSourceOptions;
  private watcher: FSWatcher | null = null;
  private settling: Timer | null = null;
  private kv: { key: string; text: string } | null = null;
  private loadedHash = '';
  private current: ConfigStatus = { error: '', loadedMs: 0 };

  constructor(options: ConfigSourceOptions) {
    this.options = options;
  }

  get status(): ConfigStatus {
    return this.current;
  }

  /** Loads for the first time; the caller decides what problems mean at the start. */
  loadFirst(): LoadResult {
    const { result, hash } = this.read();
    if (result.settings !== null) this.accept(hash);
    return result;
  }

  /** Begins to watch the file. Its folder is watched: editors and mounts replace the file itself. */
  watch(): void {
    const { path, log } = this.options;
    if (path === '') return;
    try {
      this.watcher = watch(dirname(path), () => this.settle());
      this.watcher.on('error', (error) =>
        log.warn({ err: messageOf(error) }, 'config watch ended'),
      );
    } catch (error) {
      log.warn({ err: messageOf(error) }, `can't watch ${dirname(path)}; SIGHUP still reloads`);
    }
  }

  /** The overlay in the registry is this text now; null when it is gone. */
  setOverlay(key: string, text: string | null): void {
    this.kv = text === null ? null : { key, text };
    this.reload(`kv ${key}`);
  }

  /** Reads everything again; `why` is for the log. A configuration that is the same changes nothing. */
  reload(why: string): void {
    const { log, clock, onSettings } = this.options;
    const { result, hash } = this.read();
    if (hash === this.loadedHash && this.current.error === '') return;
    if (result.settings === null) {
      const text = result.problems.map(formatProblem).join('\n');
      // The same fault is told once, however often the folder changes.
      if (text === this.current.error) return;
      this.current = { ...this.current, error: text };
      for (const problem of result.problems) {
        log.error({ why }, `configuration refused: ${formatProblem(problem)}`);
      }
      return;
    }
    const isSame = hash === this.loadedHash;
    const wasRefused = this.current.error !== '';
    this.accept(hash);
    if (wasRefused) {
      const which = isSame ? 'the one that runs' : 'another than the one that ran';
      log.info({ why }, `configuration is valid again: ${which}`);
    }
    if (isSame) return;
    log.info({ why, at: clock.wallMs() }, 'configuration applied');
    onSettings(result.settings, why);
  }

  close(): void {
    this.settling?.cancel();
    this.watcher?.close();
  }

  private accept(hash: string): void {
    this.loadedHash = hash;
    this.current = { error: '', loadedMs: this.options.clock.wallMs() };
  }

  private settle(): void {
    this.settling?.cancel();
    this.settling = this.options.clock.setTimer(SETTLE_MS, () => this.reload('file changed'));
  }

  private read(): { result: LoadResult; hash: string } {
    const { env, flags, path } = this.options;
    let text = '';
    try {
      if (path !== '') text = readFileSync(path, 'utf8');
    } catch (error) {
      const problem: Problem = { where: path, key: '', message: messageOf(error) };
      return { result: { settings: null, problems: [problem], tree: {} }, hash: '' };
    }
    const file = path === '' ? null : { path, text };
    const hash = createHash('sha256')
      .update(JSON.stringify([text, this.kv]))
      .digest('hex');
    return { result: loadSettings({ flags, env, file, kv: this.kv }), hash };
  }
}
