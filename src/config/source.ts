// The configuration over time: the file is read again when it changes or when it is asked to, and
// the overlay in the registry when it is told. A configuration with problems is refused as a whole;
// the one that runs stays. While the overlay is bad the file counts with the last good overlay,
// or without any where it does not go with that.
import { createHash } from 'node:crypto';
import { watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock, Timer } from '../base/clock.ts';
import { codeOf, messageOf } from '../base/coded-error.ts';
import type { Logger } from '../base/log.ts';
import { readRegularFile } from '../base/regular-file.ts';
import { readInTime } from '../base/timely-file.ts';
import { BOUNDS } from '../model/bounds.ts';
import type { Settings } from '../model/settings.ts';
import type { Environment } from './environment.ts';
import type { RunFlags } from './flags.ts';
import { type LoadInput, type LoadResult, loadSettings } from './load.ts';
import { loadInThread } from './load-thread.ts';
import { formatProblem, type Problem } from './problem.ts';

/** Editors write in several steps; so long nothing may happen before the file is read. */
const SETTLE_MS = 50;
/** A disk that does not answer tells nothing when it does again: the file is asked for so often. */
const HANGING_LOOK_MS = 2000;
/** What is read in some ten milliseconds, and not worth a thread. */
const INLINE_CHARS = 8 * 1024;

/** What the configuration reaches the outside by. */
export interface ConfigDoor {
  /** The text of a file, read before anything is served. Throws where it can't be read. */
  readonly readFirst: (path: string) => string;
  /** The same later. Rejects where it can't be read, or not in time. */
  readonly read: (path: string) => Promise<string>;
  /** Calls back whenever something in the folder changes. Throws where it can't be watched. */
  readonly watch: (folder: string, on: WatchEvents) => { close(): void };
  /** As loadSettings, while the process does other work. */
  readonly loadLarge: (input: LoadInput) => Promise<LoadResult>;
}

interface WatchEvents {
  readonly onChange: () => void;
  readonly onError: (error: Error) => void;
}

const nodeDoor: ConfigDoor = {
  readFirst: readConfigFile,
  read: async (path) => (await readInTime(path, BOUNDS.configFile.max)).toString(),
  watch: (folder, { onChange, onError }) => watch(folder, onChange).on('error', onError),
  loadLarge: loadInThread,
};

export interface ConfigSourceOptions {
  readonly flags: RunFlags;
  readonly env: Environment;
  /** '' for none. */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** What is wrong with a valid configuration beyond its text, in files that it names. */
  readonly vet?: (settings: Settings) => Promise<readonly Problem[]>;
  /** A configuration without problems that differs from the last. */
  readonly onSettings: (settings: Settings, why: string) => void;
  /** Node's own unless given. */
  readonly door?: ConfigDoor;
}

interface Overlay {
  readonly key: string;
  readonly text: string;
}

interface Sources {
  /** The text of the file. */
  readonly file: string;
  readonly kv: Overlay | null;
  /** For the log. */
  readonly why: string;
}

interface Attempt extends Sources {
  readonly hash: string;
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
  private readonly door: ConfigDoor;
  private watcher: { close(): void } | null = null;
  private settling: Timer | null = null;
  /** Set while the disk of the file does not answer. */
  private asking: Timer | null = null;
  /** The overlay as the registry has it, good or not. */
  private kv: Overlay | null = null;
  /** The overlay of the configuration that runs. */
  private goodKv: Overlay | null = null;
  private loadedHash = '';
  private isLoading = false;
  private loading: Promise<void> = Promise.resolve();
  /** Why to read again once what is being loaded is there; null for nothing. */
  private next: string | null = null;
  private isClosed = false;
  private current: ConfigStatus = { error: '', loadedMs: 0 };

  constructor(options: ConfigSourceOptions) {
    this.options = options;
    this.door = options.door ?? nodeDoor;
  }

  get status(): ConfigStatus {
    return this.current;
  }

  /** Loads for the first time; the caller decides what problems mean at the start. */
  loadFirst(): LoadResult {
    const read = this.readFirst();
    if ('problem' in read) return { settings: null, problems: [read.problem], tree: {} };
    const { env, flags, path, clock } = this.options;
    const file = path === '' ? null : { path, text: read.text };
    const result = loadSettings({ flags, env, file, kv: null });
    if (result.settings === null) return result;
    this.loadedHash = hashOf(read.text, null);
    this.current = { error: '', loadedMs: clock.wallMs() };
    return result;
  }

  /**
   * Begins to watch the file. Its folder is watched: editors and mounts replace the file itself. It is
   * read again at once, since it may have changed after it was read first. Does nothing once it is closed:
   * a process may be told to stop while it starts.
   */
  watch(): void {
    const { path, log } = this.options;
    if (path === '' || this.isClosed) return;
    try {
      this.watcher = this.door.watch(dirname(path), {
        onChange: () => this.settle(),
        onError: (error) => log.warn({ err: messageOf(error) }, 'config watch ended'),
      });
    } catch (error) {
      log.warn({ err: messageOf(error) }, `can't watch ${dirname(path)}; SIGHUP still reloads`);
    }
    this.settle();
  }

  /** The overlay in the registry is this text now; null when it is gone. */
  setOverlay(key: string, text: string | null): void {
    if (text === (this.kv?.text ?? null)) return;
    this.kv = text === null ? null : { key, text };
    this.reload(`kv ${key}`);
  }

  /** Reads everything again; `why` is for the log. A configuration that is the same changes nothing. */
  reload(why: string): void {
    if (this.isLoading) {
      this.next = why;
      return;
    }
    this.isLoading = true;
    this.loading = this.loadAll(why);
  }

  /** Resolves when what was asked for by now is read, and in force or refused. */
  settled(): Promise<void> {
    return this.loading;
  }

  /** ... and then what came meanwhile. */
  private async loadAll(why: string): Promise<void> {
    for (let next: string | null = why; next !== null && !this.isClosed; ) {
      this.next = null;
      await this.load(next);
      next = this.next;
    }
    this.isLoading = false;
  }

  private async load(why: string): Promise<void> {
    const file = await this.readFile();
    if (this.isClosed) return;
    if ('problem' in file) {
      if (file.isHanging) this.askAgain();
      return this.refuse([file.problem], why);
    }
    const { kv } = this;
    const problems = await this.attempt({ file: file.text, kv, why });
    if (problems.length === 0 || this.isClosed) return;
    this.refuse(problems, why);
    // Whoever may write the overlay must not keep the file from being changed: the last good one counts
    // meanwhile, or none where the file no longer goes with that.
    for (const other of new Set([this.goodKv, null])) {
      if (other === kv || this.isClosed) continue;
      const others = await this.attempt({ file: file.text, kv: other, why });
      if (others.length === 0) return;
    }
  }

  close(): void {
    this.isClosed = true;
    this.settling?.cancel();
    this.asking?.cancel();
    this.watcher?.close();
  }

  /** Loads, in a thread where that is not quick, and accepts what is good; resolves with what is wrong. */
  private async attempt(sources: Sources): Promise<readonly Problem[]> {
    const { env, flags, path, vet } = this.options;
    const file = path === '' ? null : { path, text: sources.file };
    const hash = hashOf(sources.file, sources.kv);
    if (hash === this.loadedHash) {
      if (sources.kv === this.kv) this.recover(sources.why, 'the one that runs');
      return [];
    }
    const input = { flags, env, file, kv: sources.kv };
    const length = sources.file.length + (sources.kv?.text.length ?? 0);
    const { settings, problems } =
      length <= INLINE_CHARS ? loadSettings(input) : await this.door.loadLarge(input);
    if (settings === null || this.isClosed) return problems;
    const found = (await vet?.(settings)) ?? [];
    if (found.length === 0 && !this.isClosed) this.accept(settings, { ...sources, hash });
    return found;
  }

  private accept(settings: Settings, { hash, kv, why }: Attempt): void {
    const { log, clock, onSettings } = this.options;
    this.loadedHash = hash;
    this.goodKv = kv;
    // While the overlay is bad, its error stays.
    if (kv === this.kv) this.recover(why, 'another than the one that ran');
    this.current = { ...this.current, loadedMs: clock.wallMs() };
    log.info({ why, at: clock.wallMs() }, 'configuration applied');
    onSettings(settings, why);
  }

  /** What is there now is valid; `which` is told where it was not before. */
  private recover(why: string, which: string): void {
    if (this.current.error === '') return;
    this.current = { ...this.current, error: '' };
    this.options.log.info({ why }, `configuration is valid again: ${which}`);
  }

  private refuse(problems: readonly Problem[], why: string): void {
    const text = problems.map(formatProblem).join('\n');
    // The same fault is told once, however often the folder changes.
    if (text === this.current.error) return;
    this.current = { ...this.current, error: text };
    for (const problem of problems) {
      this.options.log.error({ why }, `configuration refused: ${formatProblem(problem)}`);
    }
  }

  private settle(): void {
    this.settling?.cancel();
    this.settling = this.options.clock.setTimer(SETTLE_MS, () => this.reload('file changed'));
  }

  private askAgain(): void {
    this.asking?.cancel();
    const again = (): void => this.reload('the disk did not answer');
    this.asking = this.options.clock.setTimer(HANGING_LOOK_MS, again);
  }

  private readFirst(): Read {
    const { path } = this.options;
    try {
      return { text: path === '' ? '' : this.door.readFirst(path) };
    } catch (error) {
      return unread(path, error);
    }
  }

  private async readFile(): Promise<Read> {
    const { path } = this.options;
    try {
      return { text: path === '' ? '' : await this.door.read(path) };
    } catch (error) {
      return unread(path, error);
    }
  }
}

type Read = { readonly text: string } | Unread;

interface Unread {
  readonly problem: Problem;
  /** Its disk does not answer. */
  readonly isHanging: boolean;
}

function unread(path: string, error: unknown): Unread {
  const problem = { where: path, key: '', message: messageOf(error) };
  return { problem, isHanging: codeOf(error) === 'hanging' };
}

/** The text of a configuration file; throws where it is no regular file, or too large. */
export function readConfigFile(path: string): string {
  return readRegularFile(path, BOUNDS.configFile.max).toString('utf8');
}

function hashOf(file: string, kv: Overlay | null): string {
  const key = kv === null ? null : [kv.key, kv.text];
  return createHash('sha256')
    .update(JSON.stringify([file, key]))
    .digest('hex');
}
