// `upriver status`: what runs where, in a table.
import { ask, table } from './admin-client.ts';
import type { ParsedArguments } from './command.ts';

/** The failures of an endpoint beside those of its peers. */
export interface ComparisonAnswer {
  readonly requests: number;
  readonly failures: number;
  readonly peers: number;
  readonly peer_requests: number;
  readonly peer_failures: number;
  readonly span_seconds: number;
  readonly evidence: number;
  readonly evidence_needed: number;
}

/** As far as this command reads it (docs/reference/admin-api.md). */
export interface ServiceAnswer {
  readonly name: string;
  readonly listen: readonly string[];
  readonly problems: readonly string[];
  readonly panic: boolean;
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
    readonly comparison: ComparisonAnswer | null;
    readonly stays: string;
  }[];
}

export async function status(given: ParsedArguments): Promise<number> {
  const asked = await ask<readonly ServiceAnswer[]>(given, '/api/v1/services');
  if ('problem' in asked) {
    console.error(`upriver: ${asked.problem}`);
    return 1;
  }
  const rows = asked.body.flatMap((service) => {
    const listen = service.listen.join(' ');
    if (service.endpoints.length === 0)
      return [[service.name, listen, '(no endpoint)', '', '', '', '']];
    return service.endpoints.map((endpoint) => [
      service.name,
      listen,
      endpoint.id,
      endpoint.state,
      String(endpoint.active),
      String(endpoint.requests),
      endpoint.reason,
    ]);
  });
  const head = ['SERVICE', 'LISTEN', 'ENDPOINT', 'STATE', 'ACTIVE', 'REQUESTS', 'REASON'];
  console.log(rows.length === 0 ? 'no service' : table([head, ...rows]));
  for (const { name, problems } of asked.body) {
    for (const problem of problems) console.log(`! ${name}: ${problem}`);
  }
  return 0;
}
