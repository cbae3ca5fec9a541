// The door to the disk: what the state file needs of it. What a disk that does not answer is asked has a time limit,
// apart from the first reading, before anything is served.
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { CodedError } from '../base/coded-error.ts';
import { forgeryOf, readRegularFile, refuseOther } from '../base/regular-file.ts';
import { changeInTime } from '../base/timely-file.ts';
import { BOUNDS } from '../model/bounds.ts';

export interface DiskFile {
  /** Appends. */
  write(text: string): Promise<void>;
  /** Resolves when what was written survives a power failure. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Everything rejects with the system's error. */
export interface Disk {
  /**
   * The whole file as UTF-8. Rejects where it is no regular file, larger than a state file is, or may have been
   * written by another user.
   */
  read(path: string): Promise<string>;
  /** Opens a file for writing, empty; readable by its owner alone. */
  create(path: string): Promise<DiskFile>;
  /** The file takes the name `to`, in the place of the file that had it; rejects where it is none. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; one that is not there is fine. */
  remove(path: string): Promise<void>;
}

export const nodeDisk: Disk = {
  async read(path) {
    // It says where traffic goes before a registry does.
    const forgery = forgeryOf(path);
    if (forgery !== '') throw new CodedError('forged', forgery);
    return readRegularFile(path, BOUNDS.stateFile.max).toString();
  },
  create: (path) => OpenFile.create(path),
  rename: (from, to) =>
    changeInTime(to, async () => {
      await refuseOther(to);
      await rename(from, to);
    }),
  remove: (path) => changeInTime(path, () => rm(path, { force: true })),
};

class OpenFile implements DiskFile {
  private readonly path: string;
  /** Null until it is open. */
  private file: FileHandle | null = null;
  /** What was asked last; the disk may still be at it. */
  private last: Promise<unknown> = Promise.resolve();

  private constructor(path: string) {
    this.path = path;
  }

  static async create(path: string): Promise<OpenFile> {
    const made = new OpenFile(path);
    try {
      await made.ask(async () => {
        // It may be a link of another user, or a FIFO, where others may write to the folder.
        await rm(path, { force: true });
        // Outputs of checks may tell secrets: others on the machine don't read it.
        made.file = await open(path, 'wx', 0o600);
        await made.file.chmod(0o600);
      });
      return made;
    } catch (error) {
      made.closeLater();
      throw error;
    }
  }

  write(text: string): Promise<void> {
    return this.ask(() => this.file!.writeFile(text));
  }

  sync(): Promise<void> {
    return this.ask(() => this.file!.sync());
  }

  async close(): Promise<void> {
    try {
      await this.ask(async () => {
        const { file } = this;
        this.file = null;
        await file?.close();
      });
    } catch (error) {
      this.closeLater();
      throw error;
    }
  }

  private ask(work: () => Promise<void>): Promise<void> {
    return changeInTime(this.path, () => {
      const asked = work();
      this.last = asked;
      return asked;
    });
  }

  /** When the disk has answered: the descriptor would be lost. */
  private closeLater(): void {
    const close = (): unknown => this.file?.close();
    void this.last.then(close, close).catch(() => {});
  }
}
