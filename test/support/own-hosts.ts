// A hosts file for one program alone, in a mount namespace of its own, so that names of a test resolve
// without DNS and without touching the machine. Needs unshare (util-linux) and root, or user namespaces.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

/** For describe.skipIf(!hasOwnHosts); says so loudly where it can't be had. */
export const hasOwnHosts = probe();

/** What runs a program that reads `file` in place of /etc/hosts; the program keeps its pid. */
export function withHosts(file: string, hosts: Readonly<Record<string, string>>): string[] {
  const lines = Object.entries({ localhost: '127.0.0.1', ...hosts });
  writeFileSync(file, lines.map(([name, address]) => `${address} ${name}\n`).join(''));
  return within(file);
}

function within(file: string): string[] {
  const own = process.getuid?.() === 0 ? [] : ['--map-root-user'];
  const script = 'mount --bind "$0" /etc/hosts && exec "$@"';
  return ['unshare', '--mount', ...own, 'sh', '-c', script, file];
}

function probe(): boolean {
  const [file = '', ...args] = [...within('/etc/hosts'), 'true'];
  try {
    execFileSync(file, args, { stdio: 'pipe' });
    return true;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    if (process.env.CI !== undefined) throw new Error(`no hosts file of our own: ${why}`);
    console.error(
      `\n*** no mount namespaces here; tests that need names are SKIPPED ***\n${why}\n`,
    );
    return false;
  }
}
