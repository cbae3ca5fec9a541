// Takes a module of the simulator, and all that it imports, as one: V8 reads what one module has from another through
// a cell each time and inlines fewer calls, so a world costs a tenth less processor time (docs/simulator.md, Speed).
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Plugin, rolldown } from 'rolldown';

/** What begins with neither a dot, a slash nor a drive: Node's modules and libraries, which stay as they are. */
const LIBRARIES = /^(?![./]|[A-Za-z]:\\)/;

/** A module that looks for a file beside itself finds it beside its source. */
const places: Plugin = {
  name: 'places',
  transform(code, id) {
    if (!code.includes('import.meta')) return null;
    return code
      .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(id).href))
      .replaceAll('import.meta.dirname', JSON.stringify(dirname(id)));
  },
};

/**
 * Bundles the file into a temporary one, imports that and removes it; returns what the file exports. Lines in its
 * stacks are those of the bundle.
 */
export async function asOneModule<Exports>(file: string): Promise<Exports> {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-sim-'));
  try {
    symlinkSync(join(import.meta.dirname, '../node_modules'), join(folder, 'node_modules'));
    const options = { input: file, external: LIBRARIES, plugins: [places] };
    const bundle = await rolldown({ ...options, platform: 'node' });
    const whole = join(folder, 'whole.mjs');
    await bundle.write({ file: whole, format: 'esm', codeSplitting: false });
    await bundle.close();
    return (await import(pathToFileURL(whole).href)) as Exports;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
