// `upriver explain SERVICE [ENDPOINT]`: state, reason and history of each endpoint.
import { safeLine } from '../base/safe-text.ts';
import { ask } from './admin-client.ts';
import type { ParsedArguments } from './command.ts';
import type { ServiceAnswer } from './status.ts';

interface EventAnswer {
  readonly atMs: number;
  readonly service: string;
  readonly endpoint: string;
  readonly from: string;
  readonly to: string;
  readonly reason: string;
  readonly cause: { readonly kind: string; readonly text: string };
}

const EVENTS_SHOWN = 10;

export async function explain(given: ParsedArguments): Promise<number> {
  const [asked = ''] = given.words;
  // Texts of the answer are shown, and compared, as they are safe to show.
  const [name = '', wanted = ''] = given.words.map((word) => safeLine(word));
  if (name === '') {
    console.error('upriver: explain: expected SERVICE [ENDPOINT]');
    return 2;
  }
  const path = `/api/v1/services/${encodeURIComponent(asked)}`;
  const service = await ask<ServiceAnswer>(given, path);
  const events = await ask<readonly EventAnswer[]>(given, '/api/v1/events?format=json');
  if ('problem' in service || 'problem' in events) {
    console.error(`upriver: ${'problem' in service ? service.problem : 'no events'}`);
    return 1;
  }
  const endpoints = service.body.endpoints.filter(({ id }) => wanted === '' || id === wanted);
  if (wanted !== '' && endpoints.length === 0) {
    console.error(`upriver: service ${name} has no endpoint '${wanted}'`);
    return 1;
  }
  for (const problem of service.body.problems) console.log(`! ${problem}`);
  if (service.body.panic)
    console.log('! panic: too few endpoints work, those that checks took out are used too');
  if (endpoints.length === 0)
    console.log(`${name} has no endpoint: requests are answered with 503`);
  for (const endpoint of endpoints) {
    const history = events.body.filter(
      (one) => one.service === name && one.endpoint === endpoint.id,
    );
    console.log(describe(endpoint, history.slice(-EVENTS_SHOWN)));
  }
  return 0;
}

function describe(
  endpoint: ServiceAnswer['endpoints'][number],
  history: readonly EventAnswer[],
): string {
  const { check } = endpoint;
  const why = endpoint.reason === '' ? '' : ` (${endpoint.reason})`;
  return [
    `${endpoint.id}  ${endpoint.address}:${endpoint.port}`,
    `  state     ${endpoint.state}${why} since ${time(endpoint.since)}`,
    `  weight    ${endpoint.weight}`,
    `  traffic   ${endpoint.active} active, ${endpoint.requests} requests, ${endpoint.failures} failures`,
    `  check     ${check === null ? 'none' : `${check.text} at ${time(check.at)}`}`,
    ...history.map(
      (one) =>
        `  ${time(one.atMs)}  ${one.from || 'new'} -> ${one.to || 'gone'}  ${one.reason}  [${one.cause.kind}: ${one.cause.text}]`,
    ),
  ].join('\n');
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
