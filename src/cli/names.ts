// `upriver names [SERVICE]`: one name per line, for completion scripts. Silent where nothing answers: a
// message in the middle of a command line is of no use.
import { ask } from './admin-client.ts';
import type { ParsedArguments } from './command.ts';
import type { ServiceAnswer } from './status.ts';

/** Returns the exit code. */
export async function names(given: ParsedArguments): Promise<number> {
  const [service = ''] = given.words;
  const asked = await ask<readonly ServiceAnswer[]>(given, '/api/v1/services');
  if ('problem' in asked) return 1;
  const found =
    service === ''
      ? asked.body.map(({ name }) => name)
      : (asked.body.find(({ name }) => name === service)?.endpoints ?? []).map(({ id }) => id);
  for (const name of found.filter(isPlain)) console.log(name);
  return 0;
}

/**
 * Whether a shell takes the name as it is. Names come from the registry, and bash expands the words that
 * it completes (compgen -W): `$(...)` in one would run. Such names are left out.
 */
export function isPlain(name: string): boolean {
  return /^[\w.:/@%+,=[\]-]+$/.test(name);
}
