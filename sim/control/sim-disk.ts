// A disk in memory. What was written and not synced may be lost, in whole or in part, when the power
// fails; a process that dies in the middle of a write leaves what it wrote.
import type { Disk, DiskFile } from '../../src/state/disk.ts';
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { systemError } from '../kernel/system-error.ts';

interface Content {
  text: string;
  /** How much of it survives a power failure. */
  syncedChars: number;
}

export class SimDisk {
  readonly files = new Map<string, Content>();
  /** Every write fails until then. */
  fullUntilMs = 0;
  private readonly kernel: Kernel;
  private readonly chance: Chance;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.chance = kernel.chance('disk');
  }

  /** The disk as one process has it. */
  openFor(isDead: () => boolean): Disk {
    const later = <T>(run: () => T): Promise<T> =>
      new Promise((resolve, reject) => {
        this.kernel.after(this.chance.between(0.05, 3), () => {
          if (isDead()) return;
          try {
            resolve(run());
          } catch (error) {
            reject(error);
          }
        });
      });
    return {
      read: (path) => later(() => this.fileAt(path).text),
      create: (path) => later(() => this.create(path, later)),
      rename: (from, to) =>
        later(() => {
          this.files.set(to, this.fileAt(from));
          this.files.delete(from);
        }),
      remove: (path) => later(() => void this.files.delete(path)),
    };
  }

  /** The power fails: what was not synced may be gone. */
  losePower(): void {
    for (const content of this.files.values()) {
      const { text, syncedChars } = content;
      const kept = this.chance.int(syncedChars, text.length);
      content.text = text.slice(0, kept);
    }
  }

  private create(path: string, later: <T>(run: () => T) => Promise<T>): DiskFile {
    const content: Content = { text: '', syncedChars: 0 };
    this.files.set(path, content);
    return {
      write: (text) =>
        later(() => {
          if (this.fullUntilMs > this.kernel.nowMs) {
            content.text += text.slice(0, Math.floor(text.length / 2));
            throw systemError('ENOSPC', 'ENOSPC: no space left on device, write');
          }
          content.text += text;
        }),
      sync: () =>
        later(() => {
          content.syncedChars = content.text.length;
        }),
      close: () => later(() => {}),
    };
  }

  private fileAt(path: string): Content {
    const content = this.files.get(path);
    if (content === undefined) throw systemError('ENOENT', `ENOENT: no such file, open '${path}'`);
    return content;
  }
}
