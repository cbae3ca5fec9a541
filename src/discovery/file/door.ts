// The door to files with target groups.
import { readdirSync, watch } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { messageOf } from '../../base/coded-error.ts';
import { readRegularFile } from '../../base/regular-file.ts';

export interface Files {
  /** The files that `path` names: itself, or what its last part with `*` fits. Throws the system's error. */
  list(path: string): string[];
  /** A regular file of at most `bytesMax`. Throws the system's error, or CodedError. */
  read(file: string, bytesMax: number): string;
  /** Calls `onChange` when something changes in the folder of `path`; `onError` when that can't be known. */
  watch(path: string, onChange: () => void, onError: (why: string) => void): { close(): void };
}

export const nodeFiles: Files = {
  list(path) {
    const pattern = basename(path);
    if (!pattern.includes('*')) return [path];
    const fits = patternOf(pattern);
    return readdirSync(dirname(path))
      .filter((name) => fits.test(name))
      .sort()
      .map((name) => join(dirname(path), name));
  },
  read: (file, bytesMax) => readRegularFile(file, bytesMax).toString(),
  // Editors and mounts replace the file itself, so its folder is watched.
  watch(path, onChange, onError) {
    try {
      const watcher = watch(dirname(path), { persistent: false }, onChange);
      watcher.on('error', (error) => onError(messageOf(error)));
      return watcher;
    } catch (error) {
      onError(messageOf(error));
      return { close() {} };
    }
  },
};

/** As a shell has it: `*` is any text, and names that begin with a dot need one in the pattern. */
function patternOf(pattern: string): RegExp {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const start = pattern.startsWith('.') ? '' : '(?!\\.)';
  return new RegExp(`^${start}${parts.join('.*')}$`, 's');
}
