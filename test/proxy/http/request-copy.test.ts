import { describe, expect, it } from 'vitest';
import type { BodyPiece } from '../../../src/proxy/http/body-piece.ts';
import { RequestCopy } from '../../../src/proxy/http/request-copy.ts';

const BODY_BYTES = 40_000;

/** A request with a body of one character. */
function copyOf(text: string, copy = new RequestCopy()): RequestCopy {
  const base = Buffer.alloc(BODY_BYTES, text);
  const piece = { base, from: 0, to: BODY_BYTES, isLast: true, trailers: '' } as BodyPiece;
  copy.reset(false);
  copy.writer.text('head');
  copy.headWritten(false, false);
  copy.append(piece);
  return copy;
}

const wholeOf = (text: string) => `head${text.repeat(BODY_BYTES)}`;

describe('RequestCopy', () => {
  it('leaves the bytes of an unfinished write as they are, whoever comes after it', () => {
    const copy = copyOf('a');
    const written = copy.view;
    copy.lend();
    copy.letGo();
    copyOf('b');
    copyOf('c', copy);
    expect(written.toString('latin1')).toBe(wholeOf('a'));
    expect(copy.view.toString('latin1')).toBe(wholeOf('c'));
  });

  it('keeps what has to be sent again when the write that it was lent to has failed', () => {
    const copy = copyOf('a');
    const written = copy.view;
    copy.lend();
    copy.rescue();
    copyOf('b');
    expect(copy.view.toString('latin1')).toBe(wholeOf('a'));
    expect(copy.view.buffer).not.toBe(written.buffer);
    copy.letGo();
    copyOf('c');
    expect(written.toString('latin1')).toBe(wholeOf('a'));
  });

  it('shares its memory with the next request when nothing refers to it', () => {
    const copy = copyOf('a');
    const { buffer } = copy.view;
    copy.letGo();
    expect(copyOf('b').view.buffer).toBe(buffer);
  });
});
