// Which code the launcher runs: dist/ where it was built from exactly the sources that lie beside
// it (or where there are no sources, as in the published package), otherwise the sources. A dist/
// that is out of date is never run. Contents are compared and not times: a checkout, a copy and a
// layer of a container image change times at will. Costs about 10 ms, and only in a checkout.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';

/** Where the build notes what it was made from. */
export const STAMP = join('dist', 'stamp');

/** A hash of everything that the build reads: the sources, and the versions of the libraries. */
export function sourcesHash(root) {
  const hash = createHash('sha256');
  const files = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length + 1))
    .sort();
  for (const file of [...files, 'package-lock.json']) {
    if (!existsSync(join(root, file))) continue;
    const bytes = readFileSync(join(root, file));
    hash.update(`${file.replaceAll(sep, '/')}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest('hex');
}

/** The path of the program's entry. `root` is the folder of package.json, without a slash. */
export function entryOf(root) {
  const source = join(root, 'src', 'cli', 'upriver.ts');
  const built = join(root, 'dist', 'cli', 'upriver.js');
  if (!existsSync(source)) return built;
  const stamp = join(root, STAMP);
  if (!existsSync(built) || !existsSync(stamp)) return source;
  return readFileSync(stamp, 'utf8').trim() === sourcesHash(root) ? built : source;
}
