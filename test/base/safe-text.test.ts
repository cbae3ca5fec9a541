// Every sink with every hostile name.
import { describe, expect, it } from 'vitest';
import {
  hideCredentials,
  safeCell,
  safeData,
  safeHtml,
  safeJson,
  safeLabel,
  safeLine,
  safeLines,
} from '../../src/base/safe-text.ts';
import { formatLine } from '../../src/cli/log.ts';
import { HOSTILE_NAMES, looksHarmless, showsAll } from '../support/hostile-names.ts';

const names = Object.entries(HOSTILE_NAMES);
/** Eight characters for one, and the ellipsis. */
const SHOWN_MAX = 8 * 1000 + 1;

describe.each(names)('%s', (_, name) => {
  it('is one harmless line for terminals, logs and labels', () => {
    for (const safe of [safeLine(name), safeLabel(name)]) {
      expect(looksHarmless(safe)).toBe(true);
      expect(showsAll(safe)).toBe(true);
      expect(safe.length).toBeLessThanOrEqual(SHOWN_MAX);
    }
  });

  it('keeps its lines apart from ours', () => {
    const [first = '', ...others] = safeLines(name).split('\n');
    expect(looksHarmless(first)).toBe(true);
    for (const line of others) {
      expect(line.startsWith('    | ')).toBe(true);
      expect(looksHarmless(line)).toBe(true);
    }
  });

  it('is the same data in JSON, and harmless to look at', () => {
    const json = safeJson(JSON.stringify({ [name]: name }));
    expect(looksHarmless(json)).toBe(true);
    expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify({ [name]: name })));
    expect(JSON.stringify(safeData(JSON.stringify([name])))).toBe(JSON.stringify([safeLine(name)]));
  });

  it('leaves nothing of HTML, and no formula', () => {
    const html = safeHtml(name);
    expect(html).not.toMatch(/[<>"']|&(?!#\d+;)/);
    expect(looksHarmless(html)).toBe(true);
    const cell = safeCell(name);
    expect(looksHarmless(cell)).toBe(true);
    expect(cell.replace(/^"/, '')).not.toMatch(/^[=+\-@#\uff1d\uff0b\uff0d\uff20]/);
    expect(cell).toMatch(/^(?:[^",]*|"(?:[^"]|"")*")$/);
  });

  it('forges no record of the log for people, as message, value or name', () => {
    for (const field of ['service', 'err']) {
      const record = { level: 'warn', time: '2026-01-02T03:04:05.678Z', msg: name, [field]: name };
      const [first = '', ...others] = formatLine(JSON.stringify({ ...record, [name]: 1 }))
        .trimEnd()
        .split('\n');
      expect(first).toMatch(/^03:04:05\.678 WARN {2}/);
      expect(looksHarmless(first)).toBe(true);
      for (const line of others) {
        expect(line.startsWith('    | ')).toBe(true);
        expect(looksHarmless(line)).toBe(true);
      }
    }
  });
});

it('plain text stays as it is', () => {
  for (const text of ['', 'node-1/web-1', 'größer, schön', '日本語', '-', 'a\\b', '🙂']) {
    expect(safeLine(text)).toBe(text);
    expect(safeJson(JSON.stringify(text))).toBe(JSON.stringify(text));
  }
  expect(safeCell('-')).toBe('-');
  expect(safeCell('web')).toBe('web');
});

it('hides them in a time that grows with the text alone', () => {
  const before = process.threadCpuUsage().user;
  for (const piece of ['x', 'x://', '?', '&token', 'a://?token=', '@']) {
    hideCredentials(`a://?@${piece.repeat(100_000)}`);
  }
  expect((process.threadCpuUsage().user - before) / 1e6).toBeLessThan(2);
});

it.each([
  ['http://user:pass@host:8500/x', 'http://***@host:8500/x'],
  ['HTTPS://u:p@ss@host', 'HTTPS://***@host'],
  ['see http://a:b@c and https://d@e.', 'see http://***@c and https://***@e.'],
  ['http://host/path@x', 'http://host/path@x'],
  ['me@example.com', 'me@example.com'],
  ['http://host/sd?env=a&token=b&c', 'http://host/sd?env=a&token=***&c'],
  ['"https://h/?api_key=a&X-Amz-Signature=b"', '"https://h/?api_key=***&X-Amz-Signature=***"'],
  ['http://h/?monkey=1', 'http://h/?monkey=***'],
  ['GET /x?token=shown', 'GET /x?token=shown'],
])('%s hides its user', (text, hidden) => expect(hideCredentials(text)).toBe(hidden));
