// Long work of one thread takes turns, and shares them.
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/base/clock.ts';
import { type Steps, Turns, takeTurn } from '../../src/base/turns.ts';

/** A thread: each round does what was asked for before it, and work takes the time that it says. */
class Thread implements Clock {
  private timeMs = 0;
  private next: (() => void)[] = [];
  private timers: { atMs: number; run: () => void }[] = [];
  rounds = 0;

  nowMs = (): number => this.timeMs;
  wallMs = (): number => this.timeMs;
  setTimer(delayMs: number, run: () => void) {
    this.timers.push({ atMs: this.timeMs + delayMs, run });
    return { cancel() {} };
  }
  nextTurn(run: () => void): void {
    this.next.push(run);
  }
  take(ms: number): void {
    this.timeMs += ms;
  }
  get isIdle(): boolean {
    return this.next.length + this.timers.length === 0;
  }

  /** Returns how long the round took. */
  async round(): Promise<number> {
    const beganMs = this.timeMs;
    this.rounds += 1;
    const { timers, timeMs } = this;
    this.timers = timers.filter(({ atMs }) => atMs > timeMs);
    for (const { run } of timers.filter(({ atMs }) => atMs <= timeMs)) run();
    for (const run of this.next.splice(0)) run();
    // What waits for a promise goes on in the same round.
    for (let i = 0; i < 10; i += 1) await null;
    return this.timeMs - beganMs;
  }
}

function* work(thread: Thread, steps: number, log: string[], name = ''): Steps<string> {
  for (let i = 0; i < steps; i += 1) {
    thread.take(1);
    log.push(`${name}${i}`);
    yield '';
  }
  return name;
}

describe('long work', () => {
  it('is done at once where it is short', async () => {
    const thread = new Thread();
    const turns = new Turns(thread);
    expect(await turns.run(work(thread, 1, [], 'short'))).toBe('short');
    expect(thread.isIdle).toBe(true);
  });

  it.each([1, 2, 20])('takes one turn a round, where there are %d pieces of it', async (pieces) => {
    const thread = new Thread();
    const logs = Array.from({ length: pieces }, (): string[] => []);
    const done = logs.map((log) => new Turns(thread).run(work(thread, 9, log)));
    const rounds: number[] = [];
    while (!thread.isIdle) rounds.push(await thread.round());
    await Promise.all(done);
    expect(Math.max(...rounds)).toBe(2);
    expect(logs.every((log) => log.length === 9)).toBe(true);
  });

  it('has its turns in the order in which they were asked for', async () => {
    const thread = new Thread();
    const log: string[] = [];
    const done = ['a', 'b'].map((name) => new Turns(thread).run(work(thread, 6, log, name)));
    while (!thread.isIdle) await thread.round();
    await Promise.all(done);
    expect(log.join(' ')).toBe('a0 a1 b0 b1 a2 a3 b2 b3 a4 a5 b4 b5');
  });

  it('shares its turns with what takes one alone', async () => {
    const thread = new Thread();
    const log: string[] = [];
    const done = new Turns(thread).run(work(thread, 4, log, 'w'));
    takeTurn(thread, () => log.push('one'));
    takeTurn(thread, () => log.push('two'));
    while (!thread.isIdle) await thread.round();
    await done;
    expect(log).toEqual(['w0', 'w1', 'w2', 'w3', 'one', 'two']);
  });

  it('goes on behind a turn that throws', async () => {
    const thread = new Thread();
    const log: string[] = [];
    takeTurn(thread, () => {
      throw new Error('broken');
    });
    takeTurn(thread, () => log.push('next'));
    await expect(thread.round()).rejects.toThrow('broken');
    await thread.round();
    expect(log).toEqual(['next']);
  });

  it('rests between its turns where that is asked for', async () => {
    const thread = new Thread();
    const turns = new Turns(thread, 2);
    const spent = turns.run(work(thread, 8, [])).then(() => turns.spentMs);
    const rounds: number[] = [];
    while (!thread.isIdle) {
      rounds.push(await thread.round());
      thread.take(1);
    }
    // Each round takes 1 ms beside what is worked on in it.
    const worked = rounds.flatMap((ms, at) => (ms > 0 ? [at] : []));
    expect(worked.length).toBe(3);
    for (const [i, at] of worked.entries()) {
      expect(at - (worked[i - 1] ?? 0)).toBeGreaterThanOrEqual(3);
    }
    expect(await spent).toBe(8);
  });

  it('tells how long it took without the turns of others', async () => {
    const thread = new Thread();
    const turns = new Turns(thread);
    const spent = turns.run(work(thread, 5, [])).then(() => turns.spentMs);
    while (!thread.isIdle) {
      await thread.round();
      thread.take(50);
    }
    expect(await spent).toBe(5);
  });
});
