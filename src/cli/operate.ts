// `upriver drain|ready|maint SERVICE ENDPOINT`: an operator's word to a running instance.
import { ask } from './admin-client.ts';
import type { ParsedArguments } from './command.ts';

export async function operate(
  verb: 'drain' | 'ready' | 'maint',
  given: ParsedArguments,
): Promise<number> {
  const [service = '', endpoint = ''] = given.words;
  if (service === '' || endpoint === '') {
    console.error(`upriver: ${verb}: expected SERVICE ENDPOINT`);
    return 2;
  }
  const path = `/api/v1/services/${encodeURIComponent(service)}/endpoints/${encodeURIComponent(endpoint)}/${verb}`;
  const asked = await ask<{ ok: boolean }>(given, path, 'POST');
  if ('problem' in asked) {
    console.error(`upriver: ${asked.problem}`);
    return 1;
  }
  console.log(`${service} ${endpoint}: ${verb}`);
  return 0;
}
