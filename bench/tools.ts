// Where the programs are: on PATH, or else Debian's package of them, fetched by scripts/debian-package
// into a private cache. Their versions are printed with every result.
import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

export interface Tool {
  readonly path: string;
  readonly version: string;
  /** What it needs in its environment: the libraries that were fetched with it. */
  readonly env: Readonly<Record<string, string>>;
}

export interface ToolSource {
  readonly name: string;
  /** Prints the version, on stdout or stderr. */
  readonly versionArgs: readonly string[];
  /** Its path within the packages, the first of which is its own. */
  readonly file: string;
  readonly packages: readonly string[];
}

const SUITE = 'bookworm';
/** Daemons lie where the PATH of an ordinary user does not look. */
const MORE_PATHS = ['/usr/sbin', '/usr/local/sbin'];
const root = join(import.meta.dirname, '..');

/** Throws with what the script says when it is neither here nor to be had. */
export function findTool(source: ToolSource): Tool {
  const here = process.env.BENCH_FETCH === '1' ? null : onPath(source.name);
  if (here !== null) return toolAt(here, source, {});
  const script = join(root, 'scripts', 'debian-package');
  const fetched = execFileSync(script, [SUITE, source.file, ...source.packages], {
    ...{ encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  }).trim();
  const tree = fetched.slice(0, -source.file.length);
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const libraries = ['usr/lib', 'lib'].map((lib) => join(tree, lib, `${machine}-linux-gnu`));
  return toolAt(fetched, source, { LD_LIBRARY_PATH: libraries.join(delimiter) });
}

function onPath(name: string): string | null {
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), ...MORE_PATHS]) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not in this folder
    }
  }
  return null;
}

function toolAt(path: string, { versionArgs }: ToolSource, env: Record<string, string>): Tool {
  // Some tell it on stderr, and some end with an error after telling it.
  const quoted = [path, ...versionArgs].map((word) => `'${word}'`).join(' ');
  const text = execFileSync('sh', ['-c', `${quoted} 2>&1 || true`], {
    ...{ encoding: 'utf8', env: { ...process.env, ...env } },
  });
  return { path, env, version: /\d+\.\d+(?:\.\d+)?/.exec(text)?.[0] ?? 'unknown' };
}
