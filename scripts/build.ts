// `npm run build`: the sources as JavaScript in dist/, with the files of the dashboard beside them.
import { execFileSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
rmSync(join(root, 'dist'), { recursive: true, force: true });
execFileSync('tsc', ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
for (const file of ['page.js', 'page.css']) {
  cpSync(join(root, 'src/observe/stats-page', file), join(root, 'dist/observe/stats-page', file));
}
console.log('built dist/');
