// What the documentation names and is not there: files and folders of the repository in backquotes, npm
// scripts, and links between pages. CHANGELOG.md is history, and is not looked at.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** What is installed, built or measured: a page may name it, and it need not be there. */
const MADE = ['node_modules', 'dist', 'coverage', 'bench/results'];
const HISTORY = 'CHANGELOG.md';

/** In a file of sources or of text, or below a folder of the repository; `*` stands for any name. */
const FILE = /^(?:[\w.*-]+\/)*[\w.*-]+\.(?:ts|mjs|cjs|md)$/;
const PATH = /^(?:src|test|sim|bench|attack|scripts|docs|grafana)\/[\w.*/-]*$/;
/** A part that stands for a name of the reader's: `src/model/registries/NAME.ts`. */
const PLACEHOLDER = /(?:^|[/.])NAME(?:[/.]|$)/;

/** What a page may name. */
export interface KnownNames {
  /** Files and folders, from the root of the repository, without a slash at the end. */
  readonly paths: ReadonlySet<string>;
  /** The scripts of package.json. */
  readonly scripts: ReadonlySet<string>;
}

/** The names of the repository at `root`. Throws what reading it throws. */
export function knownNames(root: string): KnownNames {
  const paths = new Set<string>(MADE);
  const collect = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (path === '.git' || MADE.includes(path)) continue;
      paths.add(path);
      if (entry.isDirectory()) collect(path);
    }
  };
  collect('');
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return { paths, scripts: new Set(['ci', 'pack', 'install', ...Object.keys(scripts)]) };
}

/** One line for each name of the pages of the repository at `root` that is unknown. */
export function unknownNames(root: string): string[] {
  const known = knownNames(root);
  return [...known.paths]
    .filter((path) => path.endsWith('.md') && path !== HISTORY)
    .flatMap((path) => unknownIn(path, readFileSync(join(root, path), 'utf8'), known));
}

/** The same of one page: `text` is what stands in the file `page`. */
export function unknownIn(page: string, text: string, known: KnownNames): string[] {
  return text.split('\n').flatMap((line, index) => {
    const place = `${page}:${index + 1}`;
    return [
      ...[...line.matchAll(/`([^`]+)`/g)]
        .flatMap(([, name = '']) => name)
        .filter((name) => isPath(name) && !isKnown(name, page, known.paths))
        .map((name) => `${place}: there is no file or folder ${name}`),
      ...[...line.matchAll(/\bnpm run ([\w:]+)/g)]
        .flatMap(([, name = '']) => name)
        .filter((name) => !known.scripts.has(name))
        .map((name) => `${place}: there is no script ${name}`),
      ...[...line.matchAll(/\]\(([^)\s]+)\)/g)]
        .flatMap(([, link = '']) => link)
        .filter((link) => !isTarget(link, page, known.paths))
        .map((link) => `${place}: the link ${link} leads nowhere`),
    ];
  });
}

function isPath(name: string): boolean {
  return (FILE.test(name) || PATH.test(name)) && !PLACEHOLDER.test(name);
}

/** Whether a file or folder ends with this path, as far as the text names it. */
function isKnown(name: string, page: string, paths: ReadonlySet<string>): boolean {
  const path = name.replace(/\/$/, '');
  if (paths.has(path) || paths.has(normalize(join(dirname(page), path)))) return true;
  const pattern = path
    .split('*')
    .map((part) => part.replace(/[.+]/g, '\\$&'))
    .join('[^/]*');
  const ending = new RegExp(`(?:^|/)${pattern}$`);
  return paths.values().some((one) => ending.test(one));
}

/** Links to other sites, and within a page, are not followed. */
function isTarget(link: string, page: string, paths: ReadonlySet<string>): boolean {
  if (/^(?:[a-z]+:|#)/.test(link)) return true;
  const path = normalize(join(dirname(page), link.replace(/#.*/, ''))).replace(/\/$/, '');
  return path === '.' || paths.has(path);
}
