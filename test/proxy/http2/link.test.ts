// What a session has to say, on its way to a wire that does not take everything at once.
import { describe, expect, it } from 'vitest';
import { HeadText } from '../../../src/http2/head-text.ts';
import type { SessionOwner } from '../../../src/http2/session/session-owner.ts';
import { Session } from '../../../src/http2/session.ts';
import { Link } from '../../../src/proxy/http/http2/link.ts';
import { Turn } from '../../../src/proxy/http/turn.ts';
import type { Wire } from '../../../src/proxy/network.ts';
import { frame } from '../../support/http2.ts';

const owner: SessionOwner = {
  onRequest() {},
  onMalformed() {},
  onOutput() {},
  onFull() {},
  onStreamClosed() {},
  onGoaway() {},
  onFault() {},
};

/** A wire that leaves every write unfinished. */
class SlowWire {
  readonly writes: Buffer[] = [];

  write(bytes: Buffer): boolean {
    this.writes.push(bytes);
    return false;
  }
}

function begin() {
  const wire = new SlowWire();
  const turns = new Turn(() => {});
  // The link asks nothing else of its wire.
  const link = new Link(wire as unknown as Wire, { onTurn() {}, onBug() {} }, turns);
  const plain = { isServer: false, streams: 0, streamWindow: 65_535, connectionWindow: 2 ** 20 };
  const options = { ...plain, text: new HeadText(), workMax: 1e6, nowMs: () => 0 };
  const session = new Session(owner, options, { headBytes: 32_768, fieldCount: 100 });
  return { wire, link, session };
}

describe('a link to a wire that is slow', () => {
  it('writes to the same memory again when a write is done, and not before', () => {
    const { wire, link, session } = begin();
    link.flush(session);
    const [first] = wire.writes;
    const said = Buffer.from(first!);
    for (let i = 0; i < 100; i += 1) {
      session.ping(() => {});
      // The write before is unfinished: nothing leaves, and what it refers to stays what it is.
      link.flush(session);
      expect(wire.writes.length).toBe(i + 1);
      if (i === 0) expect(first!.equals(said)).toBe(true);
      link.drained(session);
    }
    const ping = Buffer.from(frame(6, 0, 0, 'upriver.'), 'latin1');
    // A write is compared while it is the last one: its memory is the others' after that.
    expect(wire.writes.at(-1)!.equals(ping)).toBe(true);
    expect(new Set(wire.writes.map(({ buffer }) => buffer)).size).toBeLessThanOrEqual(2);
  });

  it('finishes behind an unfinished write without touching it', () => {
    const { wire, link, session } = begin();
    link.flush(session);
    const said = Buffer.from(wire.writes[0]!);
    session.sayGoaway();
    link.finish(session);
    expect(wire.writes.length).toBe(2);
    expect(wire.writes[0]!.equals(said)).toBe(true);
    expect(wire.writes[1]!.buffer).not.toBe(wire.writes[0]!.buffer);
  });
});
