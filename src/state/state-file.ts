// The state file on the disk: read once at the start, and written again as a whole when something
// has changed, at most once a second. A reader finds the old one or the new one, never a part: a
// file beside it is written, synced, and takes its name. What goes wrong is said and no more.
import type { Clock, Timer } from '../base/clock.ts';
import { codeOf, messageOf } from '../base/coded-error.ts';
import type { Logger } from '../base/log.ts';
import type { Disk } from './disk.ts';
import type { Fingerprints } from './fingerprint.ts';
import { linesOf, parseState, type State } from './state-format.ts';

const APART_MS = 1000;
/** So much is made and written at a time; between two pieces other work has its turn. */
const PIECE_CHARS = 64 * 1024;

export interface StateFileOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly disk: Disk;
  /** What is to be kept now; null while there is nothing worth writing. */
  readonly state: () => State | null;
}

export class StateFile {
  private readonly options: StateFileOptions;
  private timer: Timer | null = null;
  private writing: Promise<void> | null = null;
  private isDirty = false;
  private isClosed = false;
  /** Why the last write failed; '' when it did not. */
  error = '';
  /** When the last write was whole, ms since the epoch; 0 before. */
  writtenMs = 0;

  constructor(options: StateFileOptions) {
    this.options = options;
  }

  /**
   * What the file holds of registries with these fingerprints; null where there is none, or none that
   * is of use here, which is said.
   */
  async read(fingerprints: Fingerprints): Promise<State | null> {
    const { path, log, disk, clock } = this.options;
    const ignore = (why: string): null => {
      log.warn({ file: path }, `the state file is ignored: ${why}`);
      return null;
    };
    try {
      const state = await parseState(await disk.read(path), clock);
      const isOther = (name: string) => state.fingerprints[name] !== fingerprints[name];
      const sources = state.sources.filter(({ source }) => !isOther(source.registry));
      const others = Object.keys(state.fingerprints).filter(isOther);
      if (others.length === 0) return { ...state, sources };
      if (sources.length === 0) return ignore('it is of another configuration');
      const text = 'of the state file these registries are ignored: they are configured otherwise';
      log.warn({ file: path, registries: others }, text);
      return { ...state, sources };
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return null;
      return ignore(messageOf(error));
    }
  }

  /** Something has changed: it is written within a second. */
  touch(): void {
    this.isDirty = true;
    if (this.isClosed || this.timer !== null || this.writing !== null) return;
    this.timer = this.options.clock.setTimer(APART_MS, () => {
      this.timer = null;
      this.writing = this.write().finally(() => {
        this.writing = null;
        // It changed while it was written, or could not be.
        if (this.isDirty) this.touch();
      });
    });
  }

  /** Writes a last time. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    this.timer?.cancel();
    await this.writing;
    await this.write();
  }

  private async write(): Promise<void> {
    const { path, clock, log, disk, state: current } = this.options;
    const state = current();
    this.isDirty = false;
    if (state === null) return;
    const beside = `${path}.${process.pid}.new`;
    try {
      await writeWhole(disk, beside, linesOf(state));
      await disk.rename(beside, path);
      this.writtenMs = clock.wallMs();
      if (this.error !== '') log.info({ file: path }, 'the state file is written again');
      this.error = '';
    } catch (error) {
      await disk.remove(beside).catch(() => {});
      const why = messageOf(error);
      // Said once: a full disk stays full for a while.
      if (this.error === '') log.warn({ file: path }, `the state file can't be written: ${why}`);
      this.error = why;
      this.isDirty = true;
    }
  }
}

async function writeWhole(disk: Disk, path: string, lines: Iterable<string>): Promise<void> {
  const file = await disk.create(path);
  try {
    let piece = '';
    for (const line of lines) {
      piece += line;
      if (piece.length < PIECE_CHARS) continue;
      await file.write(piece);
      piece = '';
    }
    await file.write(piece);
    await file.sync();
  } finally {
    await file.close();
  }
}
