// One registered check while it lives: asks over HTTP or TCP at its interval, or waits for a word
// of its owner (TTL). The texts are those of Consul's agent (Consul docs, "Checks").
import { connect } from 'node:net';
import type { Clock, Timer } from '../base/clock.ts';
import { codeOf, messageOf } from '../base/coded-error.ts';
import type { CheckProbe, HttpProbe } from './definitions.ts';

const OUTPUT_CHARS_MAX = 4096;
const TTL_EXPIRED = 'TTL expired';

export interface CheckResult {
  readonly status: string;
  readonly output: string;
}

export interface CheckRunOptions {
  readonly probe: CheckProbe;
  readonly clock: Clock;
  /** Takes each result that counts; not called after `stop`. */
  readonly onResult: (result: CheckResult) => void;
}

export class CheckRun {
  readonly probe: CheckProbe;
  private readonly clock: Clock;
  private readonly onResult: CheckRunOptions['onResult'];
  private timer: Timer | null = null;
  private isStopped = false;
  private goodInRow = 0;
  private badInRow = 0;
  private lastOutput = '';

  constructor({ probe, clock, onResult }: CheckRunOptions) {
    this.probe = probe;
    this.clock = clock;
    this.onResult = onResult;
  }

  start(): void {
    const { probe } = this;
    if (probe.type === 'ttl') this.expectWord(probe.ttlMs);
    else void this.ask(probe);
  }

  stop(): void {
    this.isStopped = true;
    this.timer?.cancel();
  }

  /** The owner of a TTL check has spoken: its time starts anew. False for other checks. */
  renew(output: string): boolean {
    if (this.probe.type !== 'ttl') return false;
    this.lastOutput = output;
    this.expectWord(this.probe.ttlMs);
    return true;
  }

  private expectWord(ttlMs: number): void {
    this.timer?.cancel();
    this.timer = this.clock.setTimer(ttlMs, () => {
      const last = this.lastOutput;
      const output = `${TTL_EXPIRED} (last output before timeout follows): ${last}`;
      this.onResult({ status: 'critical', output: last === '' ? TTL_EXPIRED : output });
    });
  }

  private async ask(probe: Exclude<CheckProbe, { type: 'ttl' }>): Promise<void> {
    const result =
      probe.type === 'http'
        ? await askHttp(probe, probe.timeoutMs)
        : await askTcp(probe.address, probe.timeoutMs);
    if (this.isStopped) return;
    const isGood = result.status !== 'critical';
    this.goodInRow = isGood ? this.goodInRow + 1 : 0;
    this.badInRow = isGood ? 0 : this.badInRow + 1;
    const enough = isGood
      ? this.goodInRow > probe.successBeforePassing
      : this.badInRow > probe.failuresBeforeCritical;
    if (enough) this.onResult(result);
    this.timer = this.clock.setTimer(probe.intervalMs, () => void this.ask(probe));
  }
}

/** 2xx passes, 429 warns, everything else is critical. */
async function askHttp(probe: HttpProbe, timeoutMs: number): Promise<CheckResult> {
  const { url, method, headers, body } = probe;
  try {
    const response = await fetch(url, {
      method,
      headers: headers.map(([name, value]): [string, string] => [name, value]),
      ...(body === '' ? {} : { body }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = (await response.text()).slice(0, OUTPUT_CHARS_MAX);
    const { status, statusText } = response;
    const output = `HTTP ${method} ${url}: ${status} ${statusText} Output: ${text}`;
    if (response.ok) return { status: 'passing', output };
    return { status: status === 429 ? 'warning' : 'critical', output };
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    const verb = `${method.slice(0, 1)}${method.slice(1).toLowerCase()}`;
    return { status: 'critical', output: `${verb} "${url}": ${dialError(cause)}` };
  }
}

function askTcp(address: string, timeoutMs: number): Promise<CheckResult> {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  const port = Number(address.slice(at + 1));
  if (at < 0 || !Number.isInteger(port) || port < 1 || port > 65535) {
    const output = `dial tcp: address ${address}: expected host:port`;
    return Promise.resolve({ status: 'critical', output });
  }
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const finish = (status: string, output: string): void => {
      socket.destroy();
      resolve({ status, output });
    };
    socket.setTimeout(timeoutMs, () => finish('critical', `dial tcp ${address}: i/o timeout`));
    socket.on('connect', () => finish('passing', `TCP connect ${address}: Success`));
    socket.on('error', (error) => finish('critical', dialError(error)));
  });
}

/** The most common failure, worded as Go does. */
function dialError(error: unknown): string {
  if (codeOf(error) !== 'ECONNREFUSED') return messageOf(error);
  // Node's own fields of a failed connect.
  const { address, port } = error as { address?: string; port?: number };
  return `dial tcp ${address}:${port}: connect: connection refused`;
}
