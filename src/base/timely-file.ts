// Work with files while the process serves: by the thread pool, within a time limit. A disk that does not answer
// (a network mount, a FUSE daemon that hangs) holds neither the main thread nor the pool, which resolves host
// names and writes logs as well: of one folder one file is read at a time, of all two, and what hangs is not
// tried again until it has come back.
// Invariant: a folder has one read under way at the most.
import { type Stats, stat as statFile } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Clock, systemClock } from './clock.ts';
import { CodedError, codeOf } from './coded-error.ts';
import { formatDuration } from './duration.ts';
import { Pieces } from './pieces.ts';
import { checkRegular, OPEN_FLAGS, tooLarge } from './regular-file.ts';

/** How long a read may take, with its turn; ms. */
export const FILE_MS_MAX = 5000;
/** Reads at a time: the pool has four threads, and host names are resolved by them. */
export const FILE_READS_MAX = 2;
const PIECE_BYTES_MIN = 4096;
/** Files of a folder that are looked at in one read: few enough for a disk, or a machine, that is merely slow. */
const LOOKS_A_READ = 50;

/** What is done with a file, for people. */
type Done = 'read' | 'written';

interface Waiting {
  readonly folder: string;
  begin(): void;
}

export class TimelyFiles {
  private readonly clock: Clock;
  private readonly busy = new Set<string>();
  /** Folders whose read has passed its time and goes on. */
  private readonly hanging = new Set<string>();
  private waiting: Waiting[] = [];

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /**
   * What `work` makes of the file at `path`. Rejects with CodedError `hanging` where that takes too long: `work`
   * goes on then, and what it comes to is dropped.
   */
  run<T>(path: string, work: () => Promise<T>, what: Done = 'read'): Promise<T> {
    const folder = dirname(path);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    if (this.hanging.has(folder)) {
      reject(new CodedError('hanging', `${path} can not be ${what}: ${STUCK}`));
      return promise;
    }
    let hasBegun = false;
    const one: Waiting = {
      folder,
      begin: () => {
        hasBegun = true;
        this.busy.add(folder);
        void work()
          .then(resolve, reject)
          .finally(() => {
            timer.cancel();
            this.busy.delete(folder);
            this.hanging.delete(folder);
            this.next();
          });
      },
    };
    const timer = this.clock.setTimer(FILE_MS_MAX, () => {
      if (hasBegun) this.hanging.add(folder);
      else this.waiting = this.waiting.filter((other) => other !== one);
      const why = hasBegun || this.busy.has(folder) ? STUCK : 'other files are read, and hang';
      const time = formatDuration(FILE_MS_MAX);
      reject(new CodedError('hanging', `${path} was not ${what} within ${time}: ${why}`));
    });
    this.waiting.push(one);
    this.next();
    return promise;
  }

  /**
   * What `look` makes of each of these files of one folder, in order. A read has so many of them: however many there
   * are, it is a disk that stands still which takes too long, not one that is slow. Rejects as `run`.
   */
  async runEach<T>(paths: readonly string[], look: (path: string) => Promise<T>): Promise<T[]> {
    const found: T[] = [];
    for (let at = 0; at < paths.length; at += LOOKS_A_READ) {
      const some = paths.slice(at, at + LOOKS_A_READ);
      await this.run(some[0]!, async () => {
        for (const path of some) found.push(await look(path));
      });
    }
    return found;
  }

  /** Whether a read is under way: the thread that makes it may never come back, and the process not end by itself. */
  get isReading(): boolean {
    return this.busy.size > 0;
  }

  private next(): void {
    while (this.busy.size < FILE_READS_MAX) {
      const at = this.waiting.findIndex(({ folder }) => !this.busy.has(folder));
      if (at < 0) return;
      this.waiting.splice(at, 1)[0]!.begin();
    }
  }
}

const STUCK = 'its disk does not answer';

/** The pool is the process's. */
const files = new TimelyFiles(systemClock);

/** As TimelyFiles.run, for files of this process. */
export function inTime<T>(path: string, work: () => Promise<T>): Promise<T> {
  return files.run(path, work);
}

/** The same for what changes a file. What is late is done nevertheless, and before anything later in its folder. */
export function changeInTime<T>(path: string, work: () => Promise<T>): Promise<T> {
  return files.run(path, work, 'written');
}

/** As TimelyFiles.isReading. */
export function isReading(): boolean {
  return files.isReading;
}

/** As readRegularFile. Rejects with CodedError `hanging` as well. */
export function readInTime(path: string, bytesMax: number): Promise<Buffer> {
  return inTime(path, () => readFile(path, bytesMax));
}

/** What is another text when the file is another one; rejects with the system's error. */
export function stampInTime(path: string): Promise<string> {
  return inTime(path, async () => stampOf(await statOf(path)));
}

/** Stamps of files of one folder, in order; the code of the error where there is none. Rejects as `runEach`. */
export function stampsInTime(paths: readonly string[]): Promise<string[]> {
  return files.runEach(paths, (path) => statOf(path).then(stampOf, codeOf));
}

/** The mode of a file; 0 where there is none. */
export function modeInTime(path: string): Promise<number> {
  return inTime(path, () =>
    statOf(path).then(
      ({ mode }) => mode,
      () => 0,
    ),
  );
}

function stampOf({ ino, size, mtimeMs, ctimeMs }: Stats): string {
  return [ino, size, mtimeMs, ctimeMs].join(':');
}

/** By callback: there are thousands, and a promise of the file system costs three times as much. */
function statOf(path: string): Promise<Stats> {
  return new Promise((resolve, reject) => {
    statFile(path, (error, stats) => (error === null ? resolve(stats) : reject(error)));
  });
}

async function readFile(path: string, bytesMax: number): Promise<Buffer> {
  // Opening a device can do something; so it is looked at first, and again once it is open.
  checkRegular(path, await statOf(path), bytesMax);
  const file = await open(path, OPEN_FLAGS);
  try {
    const stats = await file.stat();
    checkRegular(path, stats, bytesMax);
    return await readWhole(file, path, { bytesMax, size: stats.size });
  } finally {
    await file.close();
  }
}

interface Expected {
  readonly bytesMax: number;
  readonly size: number;
}

async function readWhole(
  file: FileHandle,
  path: string,
  { bytesMax, size }: Expected,
): Promise<Buffer> {
  const pieces = new Pieces();
  for (;;) {
    // Files of the kernel have size 0, and any file may grow while it is read.
    const piece = Buffer.allocUnsafeSlow(Math.max(PIECE_BYTES_MIN, size + 1 - pieces.bytes));
    const { bytesRead } = await file.read(piece);
    if (bytesRead === 0) return pieces.take();
    pieces.push(piece.subarray(0, bytesRead));
    if (pieces.bytes > bytesMax) throw tooLarge(path, bytesMax);
  }
}
