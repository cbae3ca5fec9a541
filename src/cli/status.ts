// `upriver status`: what runs where, in a table.
import { ask, table } from './admin-client.ts';
import type { ParsedArguments } from './command.ts';

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
  }[];
}

/** As far as the commands read it. */
export interface StatusAnswer {
  readonly problems: readonly string[];
  readonly registries: readonly { readonly name: string; readonly last_error: string }[];
}

export async function status(given: ParsedArguments): Promise<number> {
  const asked = await ask<readonly ServiceAnswer[]>(given, '/api/v1/services');
  const process = await ask<StatusAnswer>(given, '/api/v1/status');
  if ('problem' in asked || 'problem' in process) {
    console.error(`upriver: ${'problem' in asked ? asked.problem : 'no status'}`);
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
  for (const problem of process.body.problems) console.log(`! ${problem}`);
  for (const { name, last_error: error } of process.body.registries) {
    if (error !== '') console.log(`! registry ${name}: ${error}`);
  }
  return 0;
}
