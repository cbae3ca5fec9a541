// The log on stdout, by pino, and the access log: one writer owns each output. JSON lines, or lines
// for people (`pretty`).
import { mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { pino, stdTimeFunctions } from 'pino';
import type { Logger, LogLevel } from '../base/log.ts';
import type { LogSettings } from '../model/settings.ts';
import { LineFile } from './line-file.ts';

export interface LogOutput {
  readonly log: Logger;
  /** Takes whole lines; null when the access log is off. */
  readonly writeAccess: ((lines: string) => void) | null;
  setLevel(level: LogLevel): void;
  /** Writes what is buffered; for the moment before the process ends. */
  flush(): void;
}

/** Opens the outputs. Throws the system's error when the access log's file can't be opened. */
export function openLog(settings: LogSettings): LogOutput {
  const stdout = new LineFile({
    fd: 1,
    // There is one place left to say it.
    onError: (why) => console.error(`upriver: the log can't be written: ${why}`),
    onRecovered: (lost) => console.error(`upriver: the log is written again; ${lost} lines lost`),
  });
  const isPretty = settings.format === 'pretty';
  const log = pino(
    {
      level: settings.level,
      base: { pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line) => stdout.write(isPretty ? formatLine(line) : line) },
  );
  const access = openAccess(settings.access, stdout, log);
  return {
    log,
    writeAccess: access === null ? null : (lines) => access.write(lines),
    setLevel: (level) => {
      log.level = level;
    },
    flush: () => {
      stdout.flush();
      if (access !== stdout) access?.flush();
    },
  };
}

function openAccess(path: string, stdout: LineFile, log: Logger): LineFile | null {
  if (path === 'off') return null;
  if (path === 'stdout') return stdout;
  mkdirSync(dirname(path), { recursive: true });
  return new LineFile({
    fd: openSync(path, 'a'),
    onError: (why) => log.error({ file: path }, `the access log can't be written: ${why}`),
    onRecovered: (lost) => log.info({ file: path, lost }, 'the access log is written again'),
  });
}

/** One JSON record as a line for people: time, level, message, and the rest as key=value. */
export function formatLine(line: string): string {
  // Our own pino wrote it.
  const record = JSON.parse(line) as Record<string, unknown>;
  const { time, level, msg, pid, ...rest } = record;
  const fields = Object.entries(rest)
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name}=${formatValue(value)}`);
  const head = `${String(time).slice(11, 23)} ${String(level).toUpperCase().padEnd(5)} ${String(msg)}`;
  return `${[head, ...fields].join('  ')}\n`;
}

function formatValue(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  // Stack traces keep their lines.
  return /\s/.test(text) && !text.includes('\n') ? JSON.stringify(text) : text;
}
