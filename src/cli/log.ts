// The log on stdout, by pino, and the access log: one writer owns each output. JSON lines, or lines
// for people (`pretty`).
import { type DestinationStream, destination, pino, stdTimeFunctions } from 'pino';
import type { Logger, LogLevel } from '../base/log.ts';
import type { LogSettings } from '../model/settings.ts';

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
  const stdout = destination({ fd: 1, sync: false });
  const stream: DestinationStream =
    settings.format === 'pretty' ? { write: (line) => stdout.write(formatLine(line)) } : stdout;
  const log = pino(
    {
      level: settings.level,
      base: { pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
  const file =
    settings.access === 'off' || settings.access === 'stdout'
      ? null
      : destination({ dest: settings.access, append: true, mkdir: true, sync: true });
  const access = settings.access === 'off' ? null : (file ?? stdout);
  return {
    log,
    writeAccess: access === null ? null : (lines) => void access.write(lines),
    setLevel: (level) => {
      log.level = level;
    },
    flush: () => {
      stdout.flushSync();
      file?.flushSync();
    },
  };
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
