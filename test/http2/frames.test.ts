// Frames out of bytes (RFC 9113 sections 4 and 6): whatever the bytes are split into, the same is found.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Found, FrameReader } from '../../src/http2/frame-reader.ts';
import { FrameWriter } from '../../src/http2/frame-writer.ts';
import { ErrorCode, Flag, FrameType } from '../../src/http2/protocol.ts';
import { frame } from '../support/http2.ts';

/** What is found, in order; pieces of DATA are put together. */
function read(bytes: Buffer, cuts: readonly number[] = [], blockBytesMax = 20_000): string[] {
  const reader = new FrameReader(blockBytesMax);
  const found: string[] = [];
  let content = '';
  let flow = 0;
  const look = (): void => {
    const { type, flags, streamId, base, start, end } = reader;
    const payload = base.toString('latin1', start, end);
    if (reader.found === Found.data) {
      content += payload;
      flow += reader.takeFlow();
      if (!reader.isFrameEnd) return;
      found.push(`data ${streamId} ${flags} ${content} ${flow}`);
      content = '';
      flow = 0;
    } else if (reader.found === Found.block) found.push(`block ${streamId} ${flags} ${payload}`);
    else if (reader.found === Found.frame) found.push(`frame ${type} ${streamId} ${payload}`);
    else found.push(`fault ${reader.fault}`);
  };
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let at = 0;
  for (const end of [...ends, bytes.length]) {
    // A copy, of which nothing is left afterwards: what is kept must have been copied.
    const piece = Buffer.from(bytes.subarray(at, end));
    for (let next = 0; next < piece.length; ) {
      next = reader.read(piece, next, piece.length);
      if (reader.found !== Found.nothing) look();
      if (reader.found === Found.fault) return found;
    }
    piece.fill(0xee);
    at = end;
  }
  return found;
}

const bytesOf = (...frames: readonly string[]) => Buffer.from(frames.join(''), 'latin1');
const text = fc.string({ maxLength: 40 });
const anyFrame = fc
  .record({
    type: fc.integer({ min: 0, max: 11 }),
    flags: fc.constantFrom(0, 1, 4, 5, 8, 9, 12, 13, 32, 36, 0xff),
    id: fc.integer({ min: 0, max: 5 }),
    payload: text,
  })
  .map(({ type, flags, id, payload }) => frame(type, flags, id, payload));

describe('frames', () => {
  it('are the same however their bytes are split', () => {
    const cuts = fc.array(fc.nat(400), { maxLength: 30 });
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 8 }), cuts, (frames, where) => {
        const bytes = bytesOf(...frames);
        expect(read(bytes, where)).toEqual(read(bytes));
      }),
    );
  });

  it('come out of any bytes without throwing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        read(Buffer.from(bytes));
      }),
    );
  });

  it('do not look at the reserved bit', () => {
    const bytes = bytesOf(frame(FrameType.data, 0, 0x80000001, 'a'));
    expect(read(bytes)).toEqual(['data 1 0 a 1']);
  });

  it('of DATA count their padding, and leave it out', () => {
    const { padded } = Flag;
    const bytes = bytesOf(
      frame(FrameType.data, padded, 1, '\x03abc\0\0\0'),
      frame(FrameType.data, padded, 1, '\x02\0\0'),
      frame(FrameType.data, 0, 1),
    );
    expect(read(bytes)).toEqual(['data 1 8 abc 7', 'data 1 8  3', 'data 1 0  0']);
  });

  it('of HEADERS lose padding and priority', () => {
    const { endHeaders, padded, priority } = Flag;
    const flags = endHeaders | padded | priority;
    const bytes = bytesOf(frame(FrameType.headers, flags, 1, '\x02\0\0\0\0\x10block\0\0'));
    expect(read(bytes)).toEqual([`block 1 ${flags} block`]);
  });

  it.each([
    ['padding without its length', Flag.padded | Flag.endHeaders, '', ErrorCode.frameSizeError],
    ['padding beyond it', Flag.padded | Flag.endHeaders, '\x05abc', ErrorCode.protocolError],
    ['priority without room', Flag.priority | Flag.endHeaders, 'abc', ErrorCode.frameSizeError],
  ])('of HEADERS are refused with %s', (_, flags, payload, code) => {
    expect(read(bytesOf(frame(FrameType.headers, flags, 1, payload)))).toEqual([`fault ${code}`]);
  });

  it('of HEADERS and CONTINUATION are one block, with the flags of HEADERS', () => {
    const bytes = bytesOf(
      frame(FrameType.headers, Flag.endStream, 3, 'one'),
      frame(FrameType.continuation, 0, 3, 'two'),
      frame(FrameType.continuation, Flag.endHeaders, 3, 'three'),
    );
    expect(read(bytes)).toEqual(['block 3 1 onetwothree']);
  });

  it('of a block are bounded by its bytes and by their number', () => {
    const more = frame(FrameType.continuation, 0, 1, 'x'.repeat(100));
    const first = frame(FrameType.headers, 0, 1);
    const calm = [`fault ${ErrorCode.enhanceYourCalm}`];
    expect(read(bytesOf(first, more.repeat(11)), [], 1000)).toEqual(calm);
    expect(read(bytesOf(first, frame(FrameType.continuation, 0, 1).repeat(70)))).toEqual(calm);
  });

  it('that are written are read', () => {
    const out = new FrameWriter();
    out.settings([[4, 65_535]]);
    out.settingsAck();
    out.ping(true, Buffer.from('12345678'), 0);
    out.windowUpdate(3, 7);
    out.reset(5, 8);
    out.goaway(9, 2);
    out.data(7, Buffer.from('content'), 0, 7, true);
    const block = out.beginBlock();
    out.bytes(Buffer.alloc(40_000, 'h'), 0, 40_000);
    out.endBlock(block, 11, true);
    expect(read(Buffer.from(out.view()), [], 50_000)).toEqual([
      `frame 4 0 \0\x04\0\0\xff\xff`,
      'frame 4 0 ',
      'frame 6 0 12345678',
      `frame 8 3 \0\0\0\x07`,
      `frame 3 5 \0\0\0\x08`,
      `frame 7 0 \0\0\0\x09\0\0\0\x02`,
      'data 7 1 content 7',
      `block 11 1 ${'h'.repeat(40_000)}`,
    ]);
  });
});
