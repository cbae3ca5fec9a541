// One process at a time orders a certificate, of all that share its folder. The lock is a file; who
// holds it touches it every few seconds. A lock whose process has ended, or that was not touched for
// a minute, is taken over. Two that take it at the same time both order, and the later certificate
// stays: each is whole, so nothing breaks.
import { randomBytes } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { link, open, rename, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { Clock, Timer } from '../../base/clock.ts';
import { codeOf } from '../../base/coded-error.ts';
import { type Fields, fieldsOf } from '../../base/foreign.ts';
import { changeInTime, inTime, readInTime } from '../../base/timely-file.ts';

const TOUCH_MS = 10_000;
const STALE_MS = 60_000;
/** What we write has some hundred. */
const LOCK_BYTES_MAX = 4096;

export class FolderLock {
  private readonly path: string;
  private readonly clock: Clock;
  /** What the lock of somebody else looked like, and since when by our clock. */
  private seen = { signature: '', sinceMs: 0 };
  private text = '';
  private timer: Timer | null = null;

  constructor(path: string, clock: Clock) {
    this.path = path;
    this.clock = clock;
  }

  /** False where another process has it. Rejects with the system's error. */
  async take(): Promise<boolean> {
    const text = JSON.stringify({
      host: HOST,
      pid: process.pid,
      id: randomBytes(8).toString('hex'),
    });
    for (const isSecond of [false, true]) {
      if (await this.create(text)) {
        this.text = text;
        this.keep();
        return true;
      }
      const judged = await textOf(this.path);
      if (isSecond || !(await this.isStale(judged))) return false;
      if (!(await this.clear(judged))) return false;
    }
    return false;
  }

  /** A lock that a disk makes too late is none of ours then: the next attempt takes it over at once. */
  private async create(text: string): Promise<boolean> {
    let isMade = false;
    held.add(text);
    try {
      isMade = await changeInTime(this.path, () => create(this.path, text));
      return isMade;
    } finally {
      if (!isMade) held.delete(text);
    }
  }

  /** Gives it back; one that another process took meanwhile stays. */
  async release(): Promise<void> {
    this.timer?.cancel();
    this.timer = null;
    try {
      if (await this.isOurs()) await changeInTime(this.path, () => rm(this.path, { force: true }));
    } finally {
      held.delete(this.text);
      this.text = '';
    }
  }

  /** Whether this process still has it. */
  async isOurs(): Promise<boolean> {
    return this.text !== '' && (await textOf(this.path)) === this.text;
  }

  private keep(): void {
    this.timer = this.clock.setTimer(TOUCH_MS, () => void this.touch());
  }

  private async touch(): Promise<void> {
    const { timer } = this;
    // It may be given back just now.
    if (!(await this.isOurs()) || this.timer !== timer) return;
    const seconds = this.clock.wallMs() / 1000;
    void changeInTime(this.path, () => utimes(this.path, seconds, seconds)).catch(() => {});
    this.keep();
  }

  private async isStale(text: string): Promise<boolean> {
    if (hasEnded(text)) return true;
    const signature = `${text} ${await mtimeOf(this.path)}`;
    if (signature !== this.seen.signature) {
      this.seen = { signature, sinceMs: this.clock.nowMs() };
      return false;
    }
    return this.clock.nowMs() - this.seen.sinceMs >= STALE_MS;
  }

  /** Takes the stale lock away, one process of several; false where another one was quicker. */
  private async clear(judged: string): Promise<boolean> {
    const aside = `${this.path}.${randomBytes(6).toString('hex')}.stale`;
    try {
      await changeInTime(this.path, () => rename(this.path, aside));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return true;
      throw error;
    }
    const isJudged = (await textOf(aside)) === judged;
    // It was taken over by another process since: that keeps it.
    if (!isJudged) await changeInTime(aside, () => link(aside, this.path)).catch(() => {});
    await changeInTime(aside, () => rm(aside, { force: true }));
    return isJudged;
  }
}

/** Which machine and process space a process id is of. */
const HOST = `${hostname()} ${processSpace()}`;

function processSpace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}

/** Whether the process that wrote this was one of this machine, and runs no more. */
function hasEnded(text: string): boolean {
  const { host, pid } = parse(text);
  if (host !== HOST || typeof pid !== 'number') return false;
  // Our own locks are not looked at here: one with our id is of a process before us.
  if (pid === process.pid) return !held.has(text);
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return codeOf(error) === 'ESRCH';
  }
}

/** Texts of the locks that this process has written. */
const held = new Set<string>();

async function create(path: string, text: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(text);
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

async function textOf(path: string): Promise<string> {
  try {
    return (await readInTime(path, LOCK_BYTES_MAX)).toString();
  } catch {
    return '';
  }
}

async function mtimeOf(path: string): Promise<number> {
  try {
    return (await inTime(path, () => stat(path))).mtimeMs;
  } catch {
    return 0;
  }
}

function parse(text: string): Fields {
  try {
    return fieldsOf(JSON.parse(text));
  } catch {
    return {};
  }
}
