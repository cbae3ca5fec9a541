// `upriver status`: what runs where, in a table.

import type { ComparisonFigures } from '../model/comparison.ts';
import { ask, printJson, readingAnswers, table } from './admin-client.ts';
import type { ParsedArguments } from './command.ts';

/** As far as this command reads it (docs/reference/admin-api.md). */
export interface ServiceAnswer {
  readonly name: string;
  readonly listen: readonly string[];
  readonly problems: readonly string[];
  readonly panic: boolean;
  readonly sources?: readonly { readonly source: string; readonly priority: number }[];
  readonly endpoints: readonly {
    readonly id: string;
    readonly address: string;
    readonly port: number;
    readonly state: string;
    readonly reason: string;
    readonly since: number;
    readonly weight: number;
    readonly active: number;
    readonly requests: number;
    readonly failures: number;
    readonly check: { readonly text: string; readonly at: number } | null;
    readonly comparison: ComparisonFigures | null;
    /** Not of an instance of a version before several sources, as is what follows. */
    readonly priority?: number;
    /** The sources that name it, the one that is believed first. */
    readonly sources?: readonly { readonly source: string; readonly id: string }[];
    readonly stays: string;
  }[];
}

/** As far as the commands read it. */
export interface StatusAnswer {
  readonly problems: readonly string[];
  readonly registries: readonly { readonly name: string; readonly last_error: string }[];
  readonly shared_ports?: readonly { readonly listen: string; readonly pid: number | null }[];
  readonly certificates?: readonly {
    readonly file: string;
    readonly names: readonly string[];
    /** ms since the epoch. */
    readonly expires: number | null;
    readonly acme?: { readonly state: string; readonly next: number };
  }[];
  readonly takeover?: {
    readonly successor: { readonly pid: number; readonly ready: boolean } | null;
  };
}

const WATCH_MS = 1000;
const CLEAR = '\u001b[H\u001b[2J';

/** Once, or every second until it is ended. An instance that stops answering ends no watch. */
export async function status(given: ParsedArguments): Promise<number> {
  if (given.flags.watch !== true) return readingAnswers(() => show(given, ''));
  const clear = process.stdout.isTTY ? CLEAR : '';
  for (;;) {
    await readingAnswers(() => show(given, clear));
    await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
  }
}

async function show(given: ParsedArguments, clear: string): Promise<number> {
  const isRaw = given.flags.json === true;
  const [services, about] = await Promise.all([
    ask<readonly ServiceAnswer[]>(given, { path: '/api/v1/services', isRaw }),
    ask<StatusAnswer>(given, { path: '/api/v1/status', isRaw }),
  ]);
  if ('problem' in services) return fail(services.problem);
  if ('problem' in about) return fail(about.problem);
  if (isRaw) {
    const all = { status: about.body, services: services.body };
    // A watch prints a document per line.
    printJson(all, given.flags.watch === true ? 0 : 2);
    return 0;
  }
  const lines = [
    clear + tableOf(services.body),
    ...expiries(about.body),
    ...remarks(about.body).map((line) => `! ${line}`),
    ...services.body.flatMap(({ name, problems }) =>
      problems.map((problem) => `! ${name}: ${problem}`),
    ),
  ];
  for (const line of lines) console.log(line);
  return 0;
}

function fail(problem: string): number {
  console.error(`upriver: ${problem}`);
  return 1;
}

function expiries({ certificates = [] }: StatusAnswer): string[] {
  return certificates.map(({ file, names, expires, acme }) => {
    const until = expires === null ? 'not in use' : `until ${new Date(expires).toISOString()}`;
    const order = acme === undefined ? '' : `; ACME: ${acmeText(acme)}`;
    return `certificate ${file} (${names.join(', ')}): ${until}${order}`;
  });
}

const ACME_STATES: Readonly<Record<string, string>> = {
  valid: 'renewal at',
  ordering: 'ordering now',
  waiting: 'failed, next attempt at',
  elsewhere: 'another process is ordering',
};

function acmeText({ state, next }: { readonly state: string; readonly next: number }): string {
  const text = ACME_STATES[state] ?? state;
  return text.endsWith(' at') ? `${text} ${new Date(next).toISOString()}` : text;
}

function remarks(about: StatusAnswer): string[] {
  const { problems, registries, shared_ports = [], takeover } = about;
  const next = takeover?.successor ?? null;
  return [
    ...problems,
    ...registries
      .filter(({ last_error }) => last_error !== '')
      .map(({ name, last_error }) => `registry ${name}: ${last_error}`),
    ...shared_ports.map(({ listen, pid }) => {
      const who = pid === null ? 'another process' : `process ${pid}`;
      return `${who} listens on ${listen} as well and gets a share of the connections`;
    }),
    ...(next === null
      ? []
      : [`process ${next.pid} waits to take over${next.ready ? ', and is ready' : ''}`]),
  ];
}

function tableOf(services: readonly ServiceAnswer[]): string {
  // Where it comes from is worth a column where it may come from several places.
  const hasSources = services.some(({ sources = [] }) => sources.length > 1);
  const rows = services.flatMap((service) => {
    const listen = service.listen.join(' ');
    if (service.endpoints.length === 0)
      return [[service.name, listen, '(no endpoint)', '', '', '', ...(hasSources ? [''] : []), '']];
    return service.endpoints.map((endpoint) => [
      service.name,
      listen,
      endpoint.id,
      endpoint.state,
      String(endpoint.active),
      String(endpoint.requests),
      ...(hasSources ? [(endpoint.sources ?? []).map(({ source }) => source).join(', ')] : []),
      endpoint.reason,
    ]);
  });
  const head = ['SERVICE', 'LISTEN', 'ENDPOINT', 'STATE', 'ACTIVE', 'REQUESTS'];
  head.push(...(hasSources ? ['SOURCES'] : []), 'REASON');
  return rows.length === 0 ? 'no service' : table([head, ...rows]);
}
