// `upriver healthcheck`: for container images without curl.
import { messageOf } from '../base/coded-error.ts';
import { safeLine } from '../base/safe-text.ts';
import { noStatsUrl, statsUrl } from './admin-client.ts';
import type { ParsedArguments } from './command.ts';

const TIMEOUT_MS = 2500;

export async function healthcheck({ flags }: ParsedArguments): Promise<number> {
  const base = statsUrl(flags);
  if (base === null) {
    console.error(`upriver: ${noStatsUrl(flags)}`);
    return 1;
  }
  const url = `${base}/healthz`;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (response.ok) return 0;
    console.error(
      `upriver: ${url} answered ${response.status}: ${safeLine((await response.text()).trim())}`,
    );
  } catch (error) {
    const cause = error instanceof Error && error.cause ? error.cause : error;
    console.error(`upriver: no answer from ${url}: ${messageOf(cause)}`);
  }
  return 1;
}
