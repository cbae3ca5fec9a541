import { describe, expect, it } from 'vitest';
import {
  countTogether,
  LARGE_WRITE_BYTES,
  MEDIUM_WRITE_BYTES,
  SMALL_WRITE_BYTES,
} from '../../src/proxy/wire/large-writes.ts';
import { OWN_READ_BYTES, ReadBuffers } from '../../src/proxy/wire/read-buffers.ts';
import { type TlsDoor, TlsWire } from '../../src/proxy/wire/tls-wire.ts';

const LARGE_BYTES = 20_000;

/** Takes what is written, and says that it was encrypted when it is told to. */
class FakeDoor {
  destroyed = false;
  isWritten = true;
  writableLength = 0;
  readonly written: Buffer[] = [];
  private readonly reports: (() => void)[] = [];

  write(bytes: Buffer, reported: () => void): boolean {
    this.written.push(bytes);
    this.reports.push(reported);
    return false;
  }

  report(): void {
    for (const reported of this.reports.splice(0)) reported();
  }
}

function start(buffers = new ReadBuffers()) {
  const door = new FakeDoor();
  const wire = new TlsWire(door as unknown as TlsDoor, buffers, { localPort: 0 });
  wire.handler = { onBytes() {}, onEnd() {}, onDrain() {}, onClose() {} };
  /** Writes from a buffer that is written over right after. */
  const write = (text: string, bytes = LARGE_BYTES) => {
    const source = Buffer.alloc(bytes, text);
    wire.write(source);
    if (door.written.at(-1) !== source) source.fill('!');
    return door.written.at(-1)!;
  };
  return { door, buffers, write, wire };
}

const takeCopy = (buffers: ReadBuffers) => buffers.take(LARGE_BYTES).view.buffer;

it('read buffers have room for what is asked for, and serve again by their size', () => {
  const buffers = new ReadBuffers();
  const [small, large] = [buffers.take(128 * 1024), buffers.take(128 * 1024 + 1)];
  expect([small.view.length, large.view.length]).toEqual([128 * 1024, OWN_READ_BYTES]);
  for (const one of [small, large]) buffers.give(one);
  expect(buffers.take()).toBe(large);
  expect(buffers.take(1)).toBe(small);
  expect(buffers.take(1)).not.toBe(small);
});

it('a read buffer is given back once, and those that are shared as often as anyone has done with them', () => {
  const buffers = new ReadBuffers();
  const buffer = buffers.take();
  buffers.give(buffer);
  expect(() => buffers.give(buffer)).toThrow('a read buffer is given back once');
  for (const shared of [buffers.shared, buffers.answers, buffers.shared]) buffers.give(shared);
});

describe('writes of a TlsWire behind one that is not encrypted yet', () => {
  it('are copied, and their buffers serve others when they are encrypted', () => {
    const { door, buffers, write } = start();
    write('a');
    const [second, third, small] = [write('b'), write('c'), write('d', 100)];
    expect(takeCopy(buffers)).not.toBe(second.buffer);
    expect(second.toString('latin1')).toBe('b'.repeat(LARGE_BYTES));
    expect(third.toString('latin1')).toBe('c'.repeat(LARGE_BYTES));
    expect(small.toString('latin1')).toBe('d'.repeat(100));
    door.report();
    const free = [takeCopy(buffers), takeCopy(buffers)];
    // By identity: to `toEqual` all memory is alike.
    expect(free[0]).not.toBe(free[1]);
    for (const { buffer } of [second, third]) expect(free.includes(buffer)).toBe(true);
    expect(takeCopy(buffers)).not.toBe(second.buffer);
  });

  it('are given back once', () => {
    const { door, buffers, write } = start();
    for (let i = 0; i < 2; i += 1) {
      write('a');
      write('b');
      door.report();
    }
    expect(takeCopy(buffers)).not.toBe(takeCopy(buffers));
  });

  it('are left to a connection that is destroyed', () => {
    const { door, buffers, write } = start();
    write('a');
    const second = write('b');
    door.destroyed = true;
    door.report();
    expect(takeCopy(buffers)).not.toBe(second.buffer);
  });

  it('are copied to memory of their own where they are larger than a read', () => {
    const { buffers, door, write } = start();
    write('a');
    const last = write('b', 300_000);
    const pieces = door.written.slice(1);
    door.report();
    expect(Buffer.concat(pieces).equals(Buffer.alloc(300_000, 'b'))).toBe(true);
    expect(takeCopy(buffers)).not.toBe(last.buffer);
    expect(buffers.take().view.buffer).not.toBe(last.buffer);
  });
});

describe('what a TlsWire hands to encryption at a time', () => {
  const expected = Buffer.from(Array.from({ length: 200_000 }, (_, i) => i % 251));
  /** What a write of these comes to. */
  const writeMuch = (buffers: ReadBuffers) => {
    const one = start(buffers);
    const source = Buffer.from(expected);
    expect(one.wire.write(source)).toBe(false);
    const first = Buffer.from(one.door.written[0]!);
    source.fill('!');
    const all = Buffer.concat([first, ...one.door.written.slice(1)]);
    expect(all.equals(expected)).toBe(true);
    return { ...one, most: Math.max(...one.door.written.map(({ length }) => length)) };
  };

  it('is as much as there is to write, while there is room for what Node keeps of it', () => {
    const buffers = new ReadBuffers();
    buffers.largeWrites.bytesMax = (2 * 144 + 80) * 1024;
    const large = [writeMuch(buffers), writeMuch(buffers)];
    expect(large.map(({ most }) => most)).toEqual([LARGE_WRITE_BYTES, LARGE_WRITE_BYTES]);
    expect([writeMuch(buffers).most, writeMuch(buffers).most]).toEqual([
      MEDIUM_WRITE_BYTES,
      SMALL_WRITE_BYTES,
    ]);
    expect(SMALL_WRITE_BYTES).toBeLessThan(16 * 1024);
    // Who has its room keeps it, and gives it back once.
    expect(large[0]!.wire.writeBytesMax).toBe(LARGE_WRITE_BYTES);
    large[0]!.wire.closed(null);
    large[0]!.wire.closed(null);
    expect([writeMuch(buffers).most, writeMuch(buffers).most]).toEqual([
      LARGE_WRITE_BYTES,
      SMALL_WRITE_BYTES,
    ]);
  });

  it('grows with what is written, and is given back as a whole', () => {
    const { buffers, wire, door } = start();
    const { largeWrites } = buffers;
    for (const [bytes, most, keptKib] of [
      [SMALL_WRITE_BYTES, SMALL_WRITE_BYTES, 0],
      [66_000, MEDIUM_WRITE_BYTES, 80],
      [100, MEDIUM_WRITE_BYTES, 80],
      [100_000, LARGE_WRITE_BYTES, 144],
      [300_000, LARGE_WRITE_BYTES, 144],
    ] as const) {
      wire.write(Buffer.alloc(bytes));
      door.report();
      expect([wire.writeBytesMax, largeWrites.keptBytes]).toEqual([most, keptKib * 1024]);
    }
    wire.closed(null);
    expect(largeWrites.keptBytes).toBe(0);
  });

  it('is medium on 460 connections with answers of 64 KiB', () => {
    const buffers = new ReadBuffers();
    const sizes = Array.from({ length: 461 }, () => {
      const { wire } = start(buffers);
      wire.write(Buffer.alloc(66_000));
      return wire.writeBytesMax;
    });
    expect(sizes.indexOf(SMALL_WRITE_BYTES)).toBe(460);
  });

  it('takes no room for small writes', () => {
    const buffers = new ReadBuffers();
    const quiet = Array.from({ length: 300 }, () => start(buffers));
    for (const { wire } of quiet) expect(wire.write(Buffer.alloc(SMALL_WRITE_BYTES))).toBe(true);
    expect(writeMuch(buffers).most).toBe(LARGE_WRITE_BYTES);
  });

  it('gathers what waits, up to the most', () => {
    const of = (...lengths: number[]) => lengths.map((length) => ({ length }));
    expect(countTogether(of(10, 20, 30), 30)).toBe(2);
    expect(countTogether(of(10, 20, 30), 60)).toBe(3);
    expect(countTogether(of(31, 1), 30)).toBe(1);
  });
});
