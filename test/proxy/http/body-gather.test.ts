import { describe, expect, it } from 'vitest';
import { BodyGather } from '../../../src/proxy/http/http1/body-gather.ts';
import type { Wire } from '../../../src/proxy/network.ts';

/** Keeps what is written: a copy where it is taken, the bytes themselves where they have to wait. */
class FakeWire {
  isTaking = true;
  isCopying = false;
  readonly written: Buffer[] = [];

  write(bytes: Buffer): boolean {
    this.written.push(this.isTaking || this.isCopying ? Buffer.from(bytes) : bytes);
    return this.isTaking;
  }

  get text(): string {
    return Buffer.concat(this.written).toString('latin1');
  }
}

const RECORD_BYTES = 16 * 1024;

function start() {
  const fake = new FakeWire();
  const wire = fake as unknown as Wire;
  const gather = new BodyGather();
  const add = (text: string) => gather.add(wire, Buffer.from(text, 'latin1'), 0, text.length);
  return { fake, gather, wire, add };
}

describe('BodyGather', () => {
  it('sends pieces in order, together', () => {
    const { fake, gather, wire, add } = start();
    for (const text of ['a', 'b', 'c']) add(text.repeat(RECORD_BYTES));
    expect(fake.written).toHaveLength(0);
    expect(gather.flush(wire)).toBe(true);
    expect(fake.written).toHaveLength(1);
    expect(gather.isEmpty).toBe(true);
    gather.flush(wire);
    expect(fake.written).toHaveLength(1);
    expect(fake.text).toBe(['a', 'b', 'c'].map((text) => text.repeat(RECORD_BYTES)).join(''));
  });

  it('holds 64 KiB at most', () => {
    const { fake, gather, wire, add } = start();
    for (let i = 0; i < 9; i += 1) add(String(i).repeat(RECORD_BYTES));
    expect(fake.written.map(({ length }) => length)).toEqual([4 * RECORD_BYTES, 4 * RECORD_BYTES]);
    gather.flush(wire);
    expect(fake.text).toHaveLength(9 * RECORD_BYTES);
  });

  it('leaves the bytes that have to wait as they are', () => {
    const { fake, gather, wire, add } = start();
    fake.isTaking = false;
    add('a'.repeat(RECORD_BYTES));
    expect(gather.flush(wire)).toBe(false);
    const other = start();
    for (const { add: send } of [{ add }, other]) send('b'.repeat(RECORD_BYTES));
    expect(fake.text).toBe('a'.repeat(RECORD_BYTES));
    fake.isTaking = true;
    gather.flush(wire);
    expect(fake.text).toBe('a'.repeat(RECORD_BYTES) + 'b'.repeat(RECORD_BYTES));
  });

  it('reuses its memory where the other side copies what has to wait', () => {
    const { fake, gather, wire, add } = start();
    fake.isTaking = false;
    fake.isCopying = true;
    const views: ArrayBufferLike[] = [];
    const { write } = fake;
    fake.write = (bytes) => {
      views.push(bytes.buffer);
      return write.call(fake, bytes);
    };
    for (const text of ['a', 'b']) {
      add(text.repeat(RECORD_BYTES));
      expect(gather.flush(wire)).toBe(false);
    }
    expect(views[1]).toBe(views[0]);
    expect(fake.text).toBe('a'.repeat(RECORD_BYTES) + 'b'.repeat(RECORD_BYTES));
  });

  it('says when what it held before had to wait', () => {
    const { fake, add } = start();
    fake.isTaking = false;
    for (let i = 0; i < 4; i += 1) expect(add('a'.repeat(RECORD_BYTES))).toBe(true);
    expect(add('b')).toBe(false);
  });

  it('throws away what is held when the request is done with', () => {
    const { fake, gather, wire, add } = start();
    add('a');
    gather.letGo();
    expect(gather.isEmpty).toBe(true);
    gather.flush(wire);
    expect(fake.written).toHaveLength(0);
  });
});
