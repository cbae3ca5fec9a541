// Where the endpoints of a service come from: `from`.
import { z } from 'zod';
import { type ServiceSource, SOURCE_DEFAULTS, type SourceKey } from '../../model/source.ts';
import { REGISTRY_NAMES, takers } from '../registries/table.ts';
import { listOf } from '../values.ts';

const accept = ['passing', 'warning', 'critical', 'maintenance'] as const;

/** The sentence of a key, with the registries that take it. */
function about(key: SourceKey, sentence: string) {
  return { description: `${sentence} (${takers(key).join(', ')}).` };
}

/** A text that some registries take. */
const text = (key: SourceKey, sentence: string) =>
  z.string().default('').meta(about(key, sentence));

export const fromSchema = z.strictObject({
  registry: z.enum(REGISTRY_NAMES).default('consul').meta({
    description:
      'Where the endpoints come from; by default static where that has the name, else the registry that is configured, or consul among several.',
  }),
  service: z
    .string()
    .min(1)
    .optional()
    .meta({ description: "Name in the registry; the service's own by default." }),
  tag: text('tag', 'Only instances with this tag'),
  datacenter: text('datacenter', "Another datacenter than the agent's"),
  filter: text('filter', "Consul's filter expression"),
  namespace: text('namespace', 'Consul Enterprise namespace'),
  partition: text('partition', 'Consul Enterprise partition'),
  peer: text('peer', 'Consul cluster peer'),
  accept: listOf(z.enum(accept), accept.join('|'))
    .prefault([...SOURCE_DEFAULTS.accept])
    .meta(about('accept', 'Registry statuses that get traffic')),
});

export function buildSource(name: string, from: z.output<typeof fromSchema>): ServiceSource {
  return { ...from, service: from.service ?? name };
}
