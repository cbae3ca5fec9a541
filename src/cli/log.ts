// The log on stdout, by pino, and the access log: one writer owns each output. JSON lines, or lines
// human-readable (`pretty`).
import { fchmodSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { type LogFn, type Logger as PinoLogger, pino, stdTimeFunctions } from 'pino';
import { codeOf } from '../base/coded-error.ts';
import type { LogFields, Logger } from '../base/log.ts';
import { hideCredentials, safeJson, safeLine, safeLines } from '../base/safe-text.ts';
import type { LogSettings } from '../model/settings.ts';
import { LineFile } from './line-file.ts';

/** Longest text of a record, in UTF-16 units. */
const TEXT_MAX = 8192;
/** Most items of a list in a record. */
const LIST_MAX = 200;

export interface LogOutput {
  readonly log: Logger;
  /** Takes whole lines; null when the access log is off. */
  readonly writeAccess: ((lines: string) => void) | null;
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
      formatters: { level: (label) => ({ level: label }), log: bounded },
      hooks: { logMethod: boundMessage },
    },
    { write: (line) => stdout.write(isPretty ? formatLine(line) : safeRecord(line)) },
  );
  const access = openAccess(settings.access, stdout, log);
  return {
    log,
    // A batch has line ends between its records alone: JSON has none within.
    writeAccess: access === null ? null : (lines) => access.write(safeJson(lines)),
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
    fd: openToAppend(path),
    onError: (why) => log.error({ file: path }, `the access log can't be written: ${why}`),
    onRecovered: (lost) => log.info({ file: path, lost }, 'the access log is written again'),
  });
}

/** A new file has this mode, whatever the umask is: who reads logs is in the group. One that is there keeps its own. */
const ACCESS_MODE = 0o640;

function openToAppend(path: string): number {
  try {
    const fd = openSync(path, 'ax', ACCESS_MODE);
    fchmodSync(fd, ACCESS_MODE);
    return fd;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    return openSync(path, 'a', ACCESS_MODE);
  }
}

/** Texts that others wrote have a length of their own choice; a list may have any number of them. */
function bounded(fields: LogFields): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, boundedValue(value)]),
  );
}

function boundedValue(value: unknown): unknown {
  if (typeof value === 'string') return boundedText(value);
  if (!Array.isArray(value) || value.length <= LIST_MAX) return value;
  return [...value.slice(0, LIST_MAX), `... ${value.length - LIST_MAX} more`];
}

function boundedText(text: string): string {
  return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
}

/** pino's hook: arguments are the fields and the message. */
function boundMessage(this: PinoLogger, args: Parameters<LogFn>, method: LogFn): void {
  const [fields, message] = args as unknown as [LogFields, string];
  method.call(this, fields, boundedText(message));
}

/** A record as JSON that shows no password of an address and does nothing where it is looked at. */
function safeRecord(line: string): string {
  return safeJson(hideCredentials(line));
}

/** One JSON record as a human-readable line: time, level, message, and the rest as key=value. */
export function formatLine(line: string): string {
  // Our own pino wrote it.
  const record = JSON.parse(hideCredentials(line)) as Record<string, unknown>;
  const { time, level, msg, pid, ...rest } = record;
  const fields = Object.entries(rest)
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${safeLine(name)}=${formatValue(name, value)}`);
  const head = `${String(time).slice(11, 23)} ${String(level).toUpperCase().padEnd(5)} ${safeLine(String(msg), TEXT_MAX)}`;
  return `${[head, ...fields].join('  ')}\n`;
}

function formatValue(name: string, value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  // Stack traces keep their lines, set in, so that none passes for a record.
  if (name === 'err' && text.includes('\n')) return safeLines(text, TEXT_MAX);
  const line = safeLine(text, TEXT_MAX);
  // What could pass for a field of ours is quoted.
  return typeof value === 'string' && /[\s="]/.test(line) ? JSON.stringify(line) : line;
}
