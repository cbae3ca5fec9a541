// Runs the checks that services register with the embedded registry, as an agent does: HTTP and TCP
// at an interval, TTL by waiting for its owner.
import { connect } from 'node:net';
import { parseDuration } from '../base/duration.ts';
import type { CheckStatus } from './store.ts';

/** A check as the registration gives it (Consul API, /v1/agent/check/register). */
export interface CheckDefinition {
  readonly CheckID?: string;
  readonly ID?: string;
  readonly Name?: string;
  readonly Notes?: string;
  readonly HTTP?: string;
  readonly Method?: string;
  readonly TCP?: string;
  readonly TTL?: string;
  readonly Interval?: string;
  readonly Timeout?: string;
  readonly Status?: string;
  readonly ServiceID?: string;
}

const INTERVAL_MS_MIN = 100;
const TIMEOUT_MS = 10_000;

export class AgentChecks {
  private readonly timers = new Map<string, NodeJS.Timeout>();
  private readonly report: (id: string, status: CheckStatus, output: string) => void;

  constructor(report: (id: string, status: CheckStatus, output: string) => void) {
    this.report = report;
  }

  /** Begins to run the check `id`; an earlier one with that id ends. Throws on a bad definition. */
  start(id: string, check: CheckDefinition): void {
    this.stop(id);
    if (check.TTL !== undefined) {
      this.timers.set(id, setTimeout(() => this.expire(id), durationOf(check.TTL, 'TTL')).unref());
      return;
    }
    if (check.HTTP === undefined && check.TCP === undefined) return;
    const intervalMs = Math.max(INTERVAL_MS_MIN, durationOf(check.Interval ?? '10s', 'Interval'));
    const run = () => void this.run(id, check);
    this.timers.set(id, setInterval(run, intervalMs).unref());
    setImmediate(run);
  }

  /** The owner of a TTL check has spoken: its time starts anew. */
  renew(id: string, ttl: string): void {
    clearTimeout(this.timers.get(id));
    this.timers.set(id, setTimeout(() => this.expire(id), durationOf(ttl, 'TTL')).unref());
  }

  stop(id: string): void {
    clearTimeout(this.timers.get(id));
    this.timers.delete(id);
  }

  close(): void {
    for (const id of [...this.timers.keys()]) this.stop(id);
  }

  private expire(id: string): void {
    this.report(id, 'critical', 'TTL expired');
  }

  private async run(id: string, check: CheckDefinition): Promise<void> {
    const timeoutMs =
      check.Timeout === undefined ? TIMEOUT_MS : durationOf(check.Timeout, 'Timeout');
    const result =
      check.HTTP === undefined
        ? await askTcp(check.TCP ?? '', timeoutMs)
        : await askHttp(check.HTTP, check.Method ?? 'GET', timeoutMs);
    if (this.timers.has(id)) this.report(id, result.status, result.output);
  }
}

/** Milliseconds of a duration; throws with the field's name. */
export function durationOf(text: string, field: string): number {
  const ms = parseDuration(text);
  if (ms === null) throw new Error(`${field}: '${text}': expected a duration such as 10s`);
  return ms;
}

interface Result {
  readonly status: CheckStatus;
  readonly output: string;
}

/** 2xx passes, 429 warns, everything else is critical, as with Consul. */
async function askHttp(url: string, method: string, timeoutMs: number): Promise<Result> {
  try {
    const response = await fetch(url, { method, signal: AbortSignal.timeout(timeoutMs) });
    const output = `HTTP ${method} ${url}: ${response.status} ${response.statusText} Output: ${(await response.text()).slice(0, 1000)}`;
    if (response.ok) return { status: 'passing', output };
    return { status: response.status === 429 ? 'warning' : 'critical', output };
  } catch (error) {
    return { status: 'critical', output: `${method} ${url}: ${String(error)}` };
  }
}

function askTcp(target: string, timeoutMs: number): Promise<Result> {
  const at = target.lastIndexOf(':');
  return new Promise((resolve) => {
    const socket = connect({ host: target.slice(0, at), port: Number(target.slice(at + 1)) });
    const finish = (status: CheckStatus, output: string): void => {
      socket.destroy();
      resolve({ status, output });
    };
    socket.setTimeout(timeoutMs, () => finish('critical', `TCP connect ${target}: timeout`));
    socket.on('connect', () => finish('passing', `TCP connect ${target}: Success`));
    socket.on('error', (error) => finish('critical', `TCP connect ${target}: ${error.message}`));
  });
}
