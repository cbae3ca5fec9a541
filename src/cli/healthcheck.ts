// `upriver healthcheck`: for container images without curl.
import { messageOf } from '../base/coded-error.ts';
import { safeLine } from '../base/safe-text.ts';
import { send } from './admin-client.ts';
import type { ParsedArguments } from './command.ts';
import { instanceOf } from './stats-address.ts';

const TIMEOUT_MS = 2500;

export async function healthcheck({ flags }: ParsedArguments): Promise<number> {
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
    console.error(`upriver: no answer from ${url}: ${messageOf(error)}`);
  }
  return 1;
}
