// `upriver healthcheck`: for container images without curl. In the container of a registrar, which has no
// stats port, it is good as long as the registrar runs.
import { readFileSync } from 'node:fs';
import { messageOf } from '../base/coded-error.ts';
import { safeLine } from '../base/safe-text.ts';
import { send } from './admin-client.ts';
import type { ParsedArguments } from './command.ts';
import { instanceOf } from './stats-address.ts';

const TIMEOUT_MS = 2500;

/** Returns the exit code. */
export async function healthcheck({ flags }: ParsedArguments): Promise<number> {
  if (flags.stats === undefined && isRegistrar(firstProcess())) return 0;
  const instance = await instanceOf(flags);
  if ('problem' in instance) {
    console.error(`upriver: ${instance.problem}`);
    return 1;
  }
  const url = `${instance.name}/healthz`;
  try {
    const { status, text } = await send(instance, { path: '/healthz', timeoutMs: TIMEOUT_MS });
    if (status === 200) return 0;
    console.error(`upriver: ${url} answered ${status}: ${safeLine(text.trim())}`);
  } catch (error) {
    console.error(`upriver: ${safeLine(`no answer from ${url}: ${messageOf(error)}`)}`);
  }
  return 1;
}

/** What process 1 was started with, each argument ended by NUL; '' where that can't be read. */
function firstProcess(): string {
  try {
    return readFileSync('/proc/1/cmdline', 'latin1');
  } catch {
    return '';
  }
}

/** Whether a process that was started like this, itself or by an init, is `upriver register`. */
export function isRegistrar(cmdline: string): boolean {
  return /(?:^|[\0/])upriver(?:\.mjs)?\0register\0/.test(cmdline);
}
