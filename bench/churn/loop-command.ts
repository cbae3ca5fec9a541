// How the template loop (template-loop.ts) is started as a program of its own.
import { join } from 'node:path';
import type { Place } from './subject.ts';

/** Whose configuration it renders. */
export type Kind = 'nginx' | 'haproxy';

export function loopCommand(kind: Kind, { consulUrl, port, folder }: Place) {
  const file = join(import.meta.dirname, 'template-loop.ts');
  return { file: process.execPath, args: [file, kind, consulUrl, String(port), folder] };
}
