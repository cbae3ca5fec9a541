// `npm run lock`, after a library was added or updated: takes out of package-lock.json which Node the
// development libraries ask for. npm compares that with the Node that npm itself runs on; they run on
// the Node that comes with `npm ci` (docs/decisions/001-package.md). With --check it writes nothing.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Lock {
  readonly packages: Record<string, { dev?: boolean; optional?: boolean; engines?: unknown }>;
}

const path = join(import.meta.dirname, '..', 'package-lock.json');
// npm's own file.
const lock = JSON.parse(readFileSync(path, 'utf8')) as Lock;
const entries = Object.entries(lock.packages).filter(
  ([place, entry]) => place !== '' && entry.dev && !entry.optional && entry.engines !== undefined,
);
for (const [place, entry] of entries) {
  if (process.argv.includes('--check')) console.error(`${place}: engines; run 'npm run lock'`);
  delete entry.engines;
}
if (!process.argv.includes('--check')) writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
else process.exitCode = entries.length === 0 ? 0 : 1;
