// `upriver explain SERVICE [ENDPOINT]`: state, reason and history of each endpoint.
import { encodeSegment } from '../base/path-text.ts';
import { safeLine } from '../base/safe-text.ts';
import type { ComparisonFigures } from '../model/comparison.ts';
import { ask, printJson, readingAnswers } from './admin-client.ts';
import type { ParsedArguments } from './command.ts';
import { endpointNamed } from './endpoint-name.ts';
import type { ServiceAnswer, StatusAnswer } from './status.ts';

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

/** Returns the exit code. */
export function explain(given: ParsedArguments): Promise<number> {
  return readingAnswers(() => explained(given));
}

async function explained(given: ParsedArguments): Promise<number> {
  const [asked = ''] = given.words;
  const isRaw = given.flags.json === true;
  // Texts of the answer are compared as they come: as they are, or as they are safe to show.
  const [name = '', wanted = ''] = isRaw ? given.words : given.words.map((word) => safeLine(word));
  if (name === '') {
    console.error('upriver: explain: expected SERVICE [ENDPOINT]');
    return 2;
  }
  const path = `/api/v1/services/${encodeSegment(asked)}`;
  const service = await ask<ServiceAnswer>(given, { path, isRaw });
  const events = await ask<readonly EventAnswer[]>(given, {
    path: '/api/v1/events?format=json',
    isRaw,
  });
  if ('problem' in service && !isRaw && (await explainUnserved(given, name))) return 1;
  if ('problem' in service || 'problem' in events) {
    console.error(`upriver: ${'problem' in service ? service.problem : 'no events'}`);
    return 1;
  }
  const one = wanted === '' ? null : endpointNamed(service.body, wanted);
  if (typeof one === 'string') {
    console.error(`upriver: ${one}`);
    return 1;
  }
  const endpoints = one === null ? service.body.endpoints : [one];
  const historyOf = (id: string) =>
    events.body
      .filter((event) => event.service === name && event.endpoint === id)
      .slice(-EVENTS_SHOWN);
  if (isRaw) {
    const told = endpoints.map((endpoint) => ({ ...endpoint, history: historyOf(endpoint.id) }));
    printJson({ ...service.body, endpoints: told });
    return 0;
  }
  for (const problem of service.body.problems) console.log(`! ${problem}`);
  if (service.body.panic) console.log('! panic mode: unhealthy endpoints get traffic too');
  if (endpoints.length === 0)
    console.log(`${name} has no endpoint: requests are answered with 503`);
  for (const endpoint of endpoints) console.log(describe(endpoint, historyOf(endpoint.id)));
  return 0;
}

/** Why a service that describes itself is not served; false where nothing is known of it. */
async function explainUnserved(given: ParsedArguments, name: string): Promise<boolean> {
  const asked = await ask<StatusAnswer>(given, '/api/v1/status');
  if ('problem' in asked) return false;
  const start = `service ${name}: `;
  const problems = asked.body.problems.filter((problem) => problem.startsWith(start));
  for (const problem of problems) console.log(`! ${problem.slice(start.length)}`);
  if (problems.length > 0) console.log(`${name} is not served`);
  return problems.length > 0;
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
    ...namingLines(endpoint),
    `  traffic   ${endpoint.active} active, ${endpoint.requests} requests, ${endpoint.failures} failures`,
    `  check     ${check === null ? 'none' : `${check.text} at ${time(check.at)}`}`,
    ...comparisonLines(endpoint.comparison),
    ...(endpoint.stays === '' ? [] : [`  stays     ${endpoint.stays}`]),
    ...history.map(
      (one) =>
        `  ${time(one.atMs)}  ${one.from || 'new'} -> ${one.to || 'gone'}  ${one.reason}  [${one.cause.kind}: ${one.cause.text}]`,
    ),
  ].join('\n');
}

/** Who names it, by which id where that is another, and what that gives it. */
function namingLines({ id, priority, sources }: ServiceAnswer['endpoints'][number]): string[] {
  if (sources === undefined) return [];
  const names = sources.map((one) => (one.id === id ? one.source : `${one.source} as ${one.id}`));
  return [`  sources   ${names.join(', ')}; priority ${priority}`];
}

/** The numbers by which an endpoint is ejected, or is not. */
function comparisonLines(comparison: ComparisonFigures | null): string[] {
  if (comparison === null) return [];
  const { requests, failures, peers, evidence } = comparison;
  const whose = peers === 1 ? 'its peer' : `its ${peers} peers`;
  const theirs = `${comparison.peer_failures} of ${comparison.peer_requests} of ${whose}`;
  const sure = `evidence 10^${Math.floor(evidence)}, ejected from 10^${comparison.evidence_needed} on`;
  return [
    `  compared  ${failures} of ${requests} requests failed within ${comparison.span_seconds} s, ${theirs}; ${sure}`,
  ];
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
