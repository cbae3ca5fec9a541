// Which wires rest for what their records cost, and for how long; over a door and a clock of the test's own.
import { expect, it } from 'vitest';
import { ReadBuffers } from '../../src/proxy/wire/read-buffers.ts';
import { type TlsDoor, TlsWire } from '../../src/proxy/wire/tls-wire.ts';

const SMALL_MAX = 64;

class FakeThread {
  ms = 0;
  private readonly due: (() => void)[] = [];
  readonly later = (run: () => void): void => void this.due.push(run);
  readonly nowMs = (): number => this.ms;

  turn(): void {
    for (const run of this.due.splice(0)) run();
  }
}

class FakeDoor {
  destroyed = false;
  isRead = true;
  readonly pace: FakeThread;

  constructor(thread: FakeThread) {
    this.pace = thread;
  }

  pause(): void {
    this.isRead = false;
  }

  resume(): void {
    this.isRead = true;
  }
}

function start() {
  const thread = new FakeThread();
  const buffers = new ReadBuffers();
  let given = 0;
  const open = () => {
    const door = new FakeDoor(thread);
    const wire = new TlsWire(door as unknown as TlsDoor, buffers, { localPort: 0 });
    const onBytes = (_: Buffer, from: number, to: number): void => {
      given += to - from;
    };
    wire.handler = { onBytes, onEnd() {}, onDrain() {}, onClose() {} };
    const send = (count: number, bytes = 10): void => {
      for (let i = 0; i < count; i += 1) wire.deliver(bytes);
    };
    return { door, wire, send };
  };
  return { thread, open, given: () => given };
}

it('a wire rests after many small records in a moment, and goes on with what came meanwhile', () => {
  const { thread, open, given } = start();
  const { door, send } = open();
  send(SMALL_MAX + 30);
  expect([door.isRead, given()]).toEqual([false, SMALL_MAX * 10]);
  thread.turn();
  expect([door.isRead, given()]).toEqual([true, (SMALL_MAX + 30) * 10]);
});

it('one whose peer waits for answers never rests, however long it lives', () => {
  const { thread, open, given } = start();
  const { door, send } = open();
  for (let i = 0; i < 20 * SMALL_MAX; i += 1) {
    send(1);
    expect(door.isRead).toBe(true);
    thread.ms += 0.1;
  }
  expect(given()).toBe(20 * SMALL_MAX * 10);
});

it('large records are not counted', () => {
  const { open } = start();
  const { door, send } = open();
  send(10 * SMALL_MAX, 1000);
  expect(door.isRead).toBe(true);
});

it('of many that rest two go on in a turn, the first ones first', () => {
  const { thread, open } = start();
  const all = Array.from({ length: 5 }, open);
  for (const { send } of all) send(SMALL_MAX);
  const reading = () => all.map(({ door }) => door.isRead);
  expect(reading()).toEqual([false, false, false, false, false]);
  thread.turn();
  expect(reading()).toEqual([true, true, false, false, false]);
  // Behind those that wait.
  all[0]!.send(SMALL_MAX);
  thread.turn();
  expect(reading()).toEqual([false, true, true, true, false]);
  thread.turn();
  expect(reading()).toEqual([true, true, true, true, true]);
});

it('one that its handler has paused meanwhile stays so', () => {
  const { thread, open, given } = start();
  const { door, wire, send } = open();
  send(SMALL_MAX + 1);
  wire.pause();
  thread.turn();
  expect([door.isRead, given()]).toEqual([false, SMALL_MAX * 10]);
});
