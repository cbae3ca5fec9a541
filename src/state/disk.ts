// The door to the disk: what the state file needs of it.
import { open, rename, rm } from 'node:fs/promises';
import { CodedError } from '../base/coded-error.ts';
import { forgeryOf, readRegularFile, refuseOther } from '../base/regular-file.ts';
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
  async create(path) {
    // It may be a link of another user, or a FIFO, where others may write to the folder.
    await rm(path, { force: true });
    // Outputs of checks may tell secrets: others on the machine don't read it.
    const file = await open(path, 'wx', 0o600);
    await file.chmod(0o600);
    return {
      write: (text) => file.writeFile(text),
      sync: () => file.sync(),
      close: () => file.close(),
    };
  },
  async rename(from, to) {
    await refuseOther(to);
    await rename(from, to);
  },
  remove: (path) => rm(path, { force: true }),
};
