// The process of a real registry's member: started, frozen, killed and started again, always on the same
// ports. Ended by pid with SIGKILL, since an orderly end takes seconds.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const UP_MS_MAX = 60_000;
const POLL_MS = 20;
/** What is kept of its output, for the error of one that does not start. */
const OUTPUT_CHARS_MAX = 4000;

export interface MemberProcessOptions {
  /** As errors call it: `etcd at http://...`. */
  readonly name: string;
  /** File and arguments; asked for at each start. */
  readonly command: () => readonly string[];
  /** By default that of the tests. */
  readonly env?: NodeJS.ProcessEnv;
  readonly isUp: () => Promise<boolean>;
}

export class MemberProcess {
  private readonly options: MemberProcessOptions;
  private child: ChildProcess;
  private output = '';

  /** Starts it; `untilUp` is yet to be awaited. */
  constructor(options: MemberProcessOptions) {
    this.options = options;
    this.child = this.start();
  }

  get pid(): number {
    return this.child.pid!;
  }

  freeze(): void {
    this.child.kill('SIGSTOP');
  }

  thaw(): void {
    this.child.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    const { child } = this;
    children.delete(child);
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** Kills it if it runs, and resolves when it is up again. */
  async restart(): Promise<void> {
    await this.kill();
    this.child = this.start();
    await this.untilUp();
  }

  /** Rejects, with what it wrote, where it ends or takes too long. */
  async untilUp(): Promise<void> {
    const deadline = performance.now() + UP_MS_MAX;
    while (performance.now() < deadline && this.child.exitCode === null) {
      if (await this.options.isUp()) return;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    await this.kill();
    throw new Error(`${this.options.name} did not start:\n${this.output}`);
  }

  private start(): ChildProcess {
    const { command, env = process.env } = this.options;
    const [file = '', ...args] = command();
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    const take = (text: Buffer): void => {
      this.output = (this.output + text).slice(-OUTPUT_CHARS_MAX);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    children.add(child);
    return child;
  }
}

/** What a script of `scripts/` prints; '' and a loud message where it fails, in CI an error. */
export function findInstalled(name: string, script: string, ...args: string[]): string {
  const path = join(import.meta.dirname, '..', '..', 'scripts', script);
  try {
    const stdio = ['ignore', 'pipe', 'pipe'] as const;
    return execFileSync(path, args, { encoding: 'utf8', stdio: [...stdio] }).trim();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    if (process.env.CI !== undefined) throw new Error(`no ${name} to test with: ${why}`);
    console.error(`\n*** ${name} is not here; its tests are SKIPPED ***\n${why}\n`);
    return '';
  }
}

// A test run that is ended early must not leave members behind.
const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});
