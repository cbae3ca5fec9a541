import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FIELD_IDS, FieldId, HOP_BY_HOP } from '../../src/http1/fields.ts';
import type { Head } from '../../src/http1/head.ts';
import { HeadParser, HeadState } from '../../src/http1/head-parser.ts';
import { copyFields, HeadWriter } from '../../src/http1/head-writer.ts';
import { anyField } from './arbitraries.ts';
import { bytesOf, textOf, WIDE_LIMITS } from './reader.ts';

const NOTHING = new Uint8Array(FIELD_IDS);

function parsed(...lines: string[]): Head {
  const parser = new HeadParser('request', WIDE_LIMITS);
  const bytes = bytesOf(`GET / HTTP/1.1\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`);
  parser.feed(bytes, 0, bytes.length);
  expect(parser.fault).toBe('');
  return parser.head;
}

function copied(head: Head, drop = NOTHING): string {
  const writer = new HeadWriter(8);
  copyFields(writer, head, drop);
  return textOf(writer.view());
}

/** Each field of a head as it was received: id, and the text of its line. */
function linesOf(head: Head): { id: number; line: string }[] {
  const lines: { id: number; line: string }[] = [];
  head.forEachField((id, nameStart, _, valueEnd) => {
    const lineEnd = head.bytes.indexOf('\r\n', valueEnd);
    lines.push({ id, line: head.text(nameStart, lineEnd) });
  });
  return lines;
}

describe('copyFields', () => {
  it('leaves out dropped fields wherever they stand', () => {
    const drop = new Uint8Array(FIELD_IDS);
    drop[FieldId.host] = 1;
    expect(copied(parsed('Host: a'), drop)).toBe('');
    expect(copied(parsed('A: 1', 'Host: a'), drop)).toBe('A: 1\r\n');
    expect(copied(parsed('Host: a', 'A: 1'), drop)).toBe('A: 1\r\n');
    expect(copied(parsed('A: 1', 'Host: a', 'TE: x', 'B: 2'), drop)).toBe('A: 1\r\nB: 2\r\n');
  });

  it('writes every kept line as received and in order, and nothing else', () => {
    fc.assert(
      fc.property(fc.array(anyField, { maxLength: 30 }), fc.nat(FIELD_IDS - 1), (fields, id) => {
        const head = parsed('Host: a', ...fields.map(([name, value]) => `${name}:${value}`));
        const drop = new Uint8Array(FIELD_IDS);
        drop[id] = id === 0 ? 0 : 1;
        const kept = linesOf(head).filter(
          (line) => line.id === 0 || (HOP_BY_HOP[line.id] === 0 && drop[line.id] === 0),
        );
        expect(copied(head, drop)).toBe(kept.map(({ line }) => `${line}\r\n`).join(''));
      }),
    );
  });

  it('writes what parses again to the same fields', () => {
    fc.assert(
      fc.property(fc.array(anyField, { maxLength: 30 }), (fields) => {
        const head = parsed('Host: a', ...fields.map(([name, value]) => `${name}:${value}`));
        const once = copied(head);
        const parser = new HeadParser('request', WIDE_LIMITS);
        const bytes = bytesOf(`GET / HTTP/1.1\r\n${once}\r\n`);
        expect(parser.feed(bytes, 0, bytes.length)).toBe(bytes.length);
        expect(parser.state).toBe(HeadState.done);
        expect(copied(parser.head)).toBe(once);
      }),
    );
  });
});

describe('HeadWriter', () => {
  it('writes texts and bytes of any length one behind the other', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 })), (parts) => {
        const writer = new HeadWriter(4);
        for (const [i, part] of parts.entries()) {
          if (i % 2 === 0) writer.text(textOf(Buffer.from(part)));
          else writer.copy(Buffer.from([7, ...part, 7]), 1, part.length + 1);
        }
        expect(textOf(writer.view())).toBe(textOf(Buffer.concat(parts)));
        expect(writer.length).toBe(Buffer.concat(parts).length);
      }),
    );
  });

  it('leaves an abandoned buffer as it was', () => {
    const writer = new HeadWriter(16);
    writer.text('first');
    const lent = writer.view();
    writer.abandonBuffer();
    writer.text('other');
    expect(textOf(lent)).toBe('first');
    expect(textOf(writer.view())).toBe('other');
  });

  it('shares large buffers with others, and goes on with its own small one', () => {
    const writer = new HeadWriter();
    writer.text('head');
    const small = writer.view();
    writer.copy(Buffer.alloc(80_000, 'b'), 0, 80_000);
    const large = writer.view();
    writer.giveBack();
    writer.text('next');
    expect(textOf(writer.view())).toBe('next');
    expect(writer.view().buffer).toBe(small.buffer);
    const other = new HeadWriter();
    other.copy(Buffer.alloc(20_000, 'o'), 0, 20_000);
    expect(other.view().buffer).toBe(large.buffer);
    expect(textOf(other.view())).toBe('o'.repeat(20_000));
    expect(textOf(writer.view())).toBe('next');
  });

  it('neither shares nor goes back to a buffer that was abandoned', () => {
    const writer = new HeadWriter();
    writer.text('head');
    writer.copy(Buffer.alloc(80_000, 'b'), 0, 80_000);
    const lent = writer.view();
    writer.abandonBuffer();
    writer.giveBack();
    for (const one of [writer, new HeadWriter()]) {
      one.copy(Buffer.alloc(50_000, 'o'), 0, 50_000);
      expect(one.view().buffer).not.toBe(lent.buffer);
    }
    expect(textOf(lent)).toBe(`head${'b'.repeat(80_000)}`);
  });

  it('grows beyond what is shared', () => {
    const writer = new HeadWriter();
    const part = Buffer.alloc(70_000, 'p');
    for (let i = 0; i < 5; i += 1) writer.copy(part, 0, part.length);
    expect(textOf(writer.view())).toBe('p'.repeat(350_000));
    writer.giveBack();
    writer.text('next');
    expect(textOf(writer.view())).toBe('next');
  });

  it('copies what it holds to a place in another buffer', () => {
    const writer = new HeadWriter();
    writer.text('bc');
    const target = Buffer.from('a--d');
    writer.copyTo(target, 1);
    expect(textOf(target)).toBe('abcd');
    writer.reset();
    expect(writer.length).toBe(0);
  });
});
