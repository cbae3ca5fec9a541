// `upriver drain|ready|maint SERVICE ENDPOINT` and `weight SERVICE ENDPOINT N`: an operator's command to a
// running instance.
import { encodeSegment } from '../base/path-text.ts';
import { safeLine } from '../base/safe-text.ts';
import { ask, readingAnswers } from './admin-client.ts';
import type { ParsedArguments } from './command.ts';
import { endpointNamed } from './endpoint-name.ts';
import type { ServiceAnswer } from './status.ts';

const WEIGHT_MAX = 65_535;

type Verb = 'drain' | 'ready' | 'maint' | 'weight';

/** Returns the exit code. */
export function operate(verb: Verb, given: ParsedArguments): Promise<number> {
  return readingAnswers(() => order(verb, given));
}

async function order(verb: Verb, given: ParsedArguments): Promise<number> {
  const [service = '', wanted = '', weight = ''] = given.words;
  const usage = misuse(verb, given.words);
  if (usage !== '') {
    console.error(`upriver: ${verb}: ${usage}`);
    return 2;
  }
  const path = `/api/v1/services/${encodeSegment(service)}`;
  const known = await ask<ServiceAnswer>(given, { path, isRaw: true });
  if ('problem' in known) return fail(known.problem);
  const endpoint = endpointNamed(known.body, wanted);
  if (typeof endpoint === 'string') return fail(endpoint);
  const asked = await ask<{ ok: boolean }>(given, {
    path: `${path}/endpoints/${encodeSegment(endpoint.id)}/${verb}`,
    method: 'POST',
    ...(verb === 'weight' ? { body: { weight: Number(weight) } } : {}),
  });
  if ('problem' in asked) return fail(asked.problem);
  const what = `${service} ${endpoint.id}: ${verb}${verb === 'weight' ? ` ${weight}` : ''}`;
  console.log(safeLine(what));
  return 0;
}

function misuse(verb: Verb, [service = '', endpoint = '', weight]: readonly string[]): string {
  if (service === '' || endpoint === '') {
    return `expected SERVICE ENDPOINT${verb === 'weight' ? ' N' : ''}`;
  }
  if (verb !== 'weight') return '';
  if (weight === undefined) return 'expected SERVICE ENDPOINT N';
  const isWeight = /^\d+$/.test(weight) && Number(weight) <= WEIGHT_MAX;
  return isWeight ? '' : `'${weight}': expected a whole number from 0 to ${WEIGHT_MAX}`;
}

function fail(problem: string): number {
  console.error(`upriver: ${problem}`);
  return 1;
}
