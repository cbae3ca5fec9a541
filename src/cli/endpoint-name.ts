// Which endpoint an operator means: by its id, by the id under which it was registered (Consul's service
// id, which an endpoint's id ends with: NODE/ID) in any of its sources, or by its address and port.
import { safeLine } from '../base/safe-text.ts';
import type { ServiceAnswer } from './status.ts';

type EndpointAnswer = ServiceAnswer['endpoints'][number];

/** The one endpoint that `text` names, or lines for a terminal that list what there is. */
export function endpointNamed(
  service: Pick<ServiceAnswer, 'name' | 'endpoints'>,
  text: string,
): EndpointAnswer | string {
  const { name, endpoints } = service;
  const exact = endpoints.find(({ id }) => id === text);
  if (exact !== undefined) return exact;
  const found = endpoints.filter(
    (one) =>
      one.id.endsWith(`/${text}`) ||
      one.sources?.some(({ id }) => id === text || id.endsWith(`/${text}`)) ||
      placeOf(one) === text.replaceAll(/[[\]]/g, ''),
  );
  if (found.length === 1) return found[0]!;
  if (endpoints.length === 0) return safeLine(`service ${name} has no endpoint`);
  const [what, candidates] =
    found.length === 0
      ? [`service ${name} has no endpoint '${text}'; it has:`, endpoints]
      : [`'${text}' names ${found.length} endpoints of service ${name}:`, found];
  const lines = candidates.map((one) => `  ${one.id}  (${one.address}:${one.port})`);
  return [what, ...lines].map((line) => safeLine(line)).join('\n');
}

function placeOf({ address, port }: EndpointAnswer): string {
  return `${address.replaceAll(/[[\]]/g, '')}:${port}`;
}
