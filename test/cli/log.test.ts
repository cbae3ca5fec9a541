import { expect, it } from 'vitest';
import { formatLine } from '../../src/cli/log.ts';

it('a record becomes a line for people', () => {
  const record = {
    level: 'warn',
    time: '2026-01-02T03:04:05.678Z',
    pid: 1,
    service: 'web',
    reason: 'no answer within 1s',
    cut: 3,
    empty: '',
    msg: 'endpoint down',
  };
  expect(formatLine(JSON.stringify(record))).toBe(
    '03:04:05.678 WARN  endpoint down  service=web  reason="no answer within 1s"  cut=3\n',
  );
});

it('a stack trace keeps its lines', () => {
  const record = {
    level: 'error',
    time: '2026-01-02T03:04:05.678Z',
    err: 'Error: x\n  at y',
    msg: 'm',
  };
  expect(formatLine(JSON.stringify(record))).toBe(
    '03:04:05.678 ERROR m  err=Error: x\n    |   at y\n',
  );
});
