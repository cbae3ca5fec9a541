// `npm run build`: the program in dist/, libraries included, so that the published package depends
// on none and a thread reads few files. Why it is bundled: docs/decisions/001-package.md.
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { type Plugin, rolldown } from 'rolldown';
import { STAMP, sourcesHash } from '../bin/sources.mjs';
import { THREADS } from './threads.ts';

const root = join(import.meta.dirname, '..');
const src = join(root, 'src');
const dist = join(root, 'dist');

/**
 * Every emitted file lies one folder below dist/. A module that looks for a file beside itself
 * finds it where it was before bundling: its place is computed from the emitted file's.
 */
const places: Plugin = {
  name: 'places',
  transform(code, id) {
    if (!id.startsWith(src) || !code.includes('import.meta.url')) return null;
    const place = relative(src, id).replace(/\.ts$/, '.js');
    return code.replaceAll('import.meta.url', `new URL('../${place}', import.meta.url).href`);
  },
};

/**
 * Takes Node's own modules as objects. `import ... from 'node:http'` reads every export of the
 * module, some of which load Node's whole fetch when they are read: 15 MiB.
 */
const builtins: Plugin = {
  name: 'builtins',
  renderChunk(code) {
    return code.replace(
      /^import (?:(\w+)|\{([^}]*)\}|\* as (\w+)) from ["'](node:[\w/]+)["'];$/gm,
      (_, whole, names, space, module) => {
        const left = whole ?? space ?? `{${String(names).replaceAll(' as ', ': ')}}`;
        return `const ${left} = process.getBuiltinModule('${module}');`;
      },
    );
  },
};

rmSync(dist, { recursive: true, force: true });
const hash = sourcesHash(root);
const bundle = await rolldown({
  cwd: root,
  platform: 'node',
  input: {
    'cli/upriver': join(src, 'cli/upriver.ts'),
    ...Object.fromEntries(THREADS.map((one) => [one, join(src, `${one}.ts`)])),
  },
  plugins: [places, builtins],
  resolve: {
    alias: {
      undici$: join(root, 'scripts/undici-parts.cjs'),
      'acme-client$': join(root, 'scripts/acme-client-parts.cjs'),
    },
  },
});
const { output } = await bundle.write({
  dir: dist,
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: 'chunks/[name].js',
  comments: false,
});
await bundle.close();
for (const file of ['page.js', 'page.css']) {
  cpSync(join(src, 'observe/stats-page', file), join(dist, 'observe/stats-page', file));
}
const modules = output.flatMap((part) => (part.type === 'chunk' ? part.moduleIds : []));
writeFileSync(join(dist, 'THIRD-PARTY-LICENSES'), licencesOf(modules));
// Last: a build that broke off leaves nothing that counts as built.
writeFileSync(join(root, STAMP), `${hash}\n`);
console.log('built dist/');

/** The licences of the libraries among the modules, as those ask for when they are passed on. */
function licencesOf(modules: readonly string[]): string {
  const folders = new Set(
    modules.flatMap((id) => /^\0?(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id)?.[1] ?? []),
  );
  const texts = [...folders].sort().map((folder) => {
    // npm's own file.
    const about = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
      readonly name: string;
      readonly version: string;
      readonly license?: string;
    };
    const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
    const text = file === undefined ? '' : readFileSync(join(folder, file), 'utf8').trim();
    return `${about.name} ${about.version} (${about.license ?? 'no licence named'})\n\n${text}`;
  });
  return `${texts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`;
}
