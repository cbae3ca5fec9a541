// The door to files with target groups.
import { type FSWatcher, watch } from 'node:fs';
import { opendir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CodedError, messageOf } from '../../base/coded-error.ts';
import { inTime, readInTime } from '../../base/timely-file.ts';
import { BOUNDS, type Bound, formatBound } from '../../model/bounds.ts';
import { readYaml, type YamlAnswer } from './yaml-text.ts';
import { yamlInThread } from './yaml-thread.ts';

/** What is read in a few milliseconds at the worst, and not worth a thread. */
const INLINE_CHARS = 4096;
/** Names that are had at a time. */
const BATCH = 1000;

export interface Files {
  /**
   * The files that `path` names: itself, or what its last part with `*` fits. Rejects with the system's error,
   * or CodedError where there are too many.
   */
  list(path: string): Promise<readonly string[]>;
  /** A regular file of at most `bytesMax`. Throws the system's error, or CodedError. */
  read(file: string, bytesMax: number): Promise<Buffer>;
  /** YAML as JSON, or why it is none. */
  readYaml(text: string): Promise<YamlAnswer>;
  /** Calls `onChange` when something changes in the folder of `path`; `onError` when that can't be known. */
  watch(path: string, onChange: () => void, onError: (why: string) => void): { close(): void };
}

export const nodeFiles: Files = {
  list: async (path) => (basename(path).includes('*') ? inTime(path, () => fitting(path)) : [path]),
  read: readInTime,
  readYaml: async (text) => (text.length <= INLINE_CHARS ? readYaml(text) : yamlInThread(text)),
  watch(path, onChange, onError) {
    const watching = new Watching(path, onChange, onError);
    void watching.begin();
    return watching;
  },
};

/** Editors and mounts replace the file itself, so its folder is watched. */
class Watching {
  private readonly path: string;
  private readonly onChange: () => void;
  private readonly onError: (why: string) => void;
  private watcher: FSWatcher | null = null;
  private isClosed = false;

  constructor(path: string, onChange: () => void, onError: (why: string) => void) {
    this.path = path;
    this.onChange = onChange;
    this.onError = onError;
  }

  async begin(): Promise<void> {
    const folder = dirname(this.path);
    try {
      // The system's call waits for a disk that does not answer, on this thread: it is asked here first.
      await inTime(this.path, () => stat(folder));
      if (this.isClosed) return;
      this.watcher = watch(folder, { persistent: false }, this.onChange);
      this.watcher.on('error', (error) => this.onError(messageOf(error)));
    } catch (error) {
      if (!this.isClosed) this.onError(messageOf(error));
      return;
    }
    // What was read meanwhile may have changed before it was watched.
    this.onChange();
  }

  close(): void {
    this.isClosed = true;
    this.watcher?.close();
  }
}

async function fitting(path: string): Promise<readonly string[]> {
  const fits = patternOf(basename(path));
  const names: string[] = [];
  let entries = 0;
  // Not at one go: there may be any number of them.
  for await (const { name } of await opendir(dirname(path), { bufferSize: BATCH })) {
    entries += 1;
    if (entries > BOUNDS.targetEntries.max) throw tooMany(BOUNDS.targetEntries);
    if (fits.test(name)) names.push(name);
    if (names.length > BOUNDS.targetFiles.max) throw tooMany(BOUNDS.targetFiles);
  }
  return names.sort().map((name) => join(dirname(path), name));
}

function tooMany(bound: Bound): CodedError {
  return new CodedError('too-many', `more ${bound.what} than ${formatBound(bound)}`);
}

/** As a shell has it: `*` is any text, and names that begin with a dot need one in the pattern. */
function patternOf(pattern: string): RegExp {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const start = pattern.startsWith('.') ? '' : '(?!\\.)';
  return new RegExp(`^${start}${parts.join('.*')}$`, 's');
}
