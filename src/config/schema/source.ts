// Where the endpoints of a service come from: `from`.
import { z } from 'zod';
import {
  PRIORITY_DEFAULT,
  SOURCE_DEFAULTS,
  type SourceKey,
  type UsedSource,
} from '../../model/source.ts';
import { anyForm, type Form } from '../forms.ts';
import { REGISTRY_NAMES, takers } from '../registries/table.ts';
import { count, listOf } from '../values.ts';

const accept = ['passing', 'warning', 'critical', 'maintenance'] as const;

/** The sentence of a key, with the registries that take it. */
function about(key: SourceKey, sentence: string) {
  return { description: `${sentence} (${takers(key).join(', ')}).` };
}

/** A text that some registries take. */
const text = (key: SourceKey, sentence: string) =>
  z.string().default('').meta(about(key, sentence));

const sourceMapping = z.strictObject({
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
  kv: z
    .string()
    .regex(/^(?![\s\S]*(?:^|\/)\.{1,2}(?:\/|$))/, 'expected a key without segments . and ..')
    .default('')
    .meta(
      about(
        'kv',
        'Instances are keys KV/SERVICE/ID in the KV store, as of Registrator; not the catalog',
      ),
    ),
  query: z
    .string()
    .regex(
      /^(?![\s\S]*(?:^|\/)\.{0,2}(?:\/|$))[\s\S]|^$/,
      'expected the name or id of a prepared query, without segments . and ..',
    )
    .default('')
    .meta(
      about('query', 'Name or id of a prepared query, which is polled in place of the catalog'),
    ),
  accept: listOf(z.enum(accept), accept.join('|'))
    .prefault([...SOURCE_DEFAULTS.accept])
    .meta(about('accept', 'Registry statuses that get traffic')),
  priority: count(1, 100).prefault(PRIORITY_DEFAULT).meta({
    description:
      'Endpoints of the lowest priority number that has one in working order get the traffic; the others are its fallback.',
  }),
});

/** Sources of one service. */
const SOURCES_MAX = 16;

const SOURCES = `a mapping with registry and service, or a list of at most ${SOURCES_MAX}`;
const error = `expected ${SOURCES}`;
const mappingForm = formOf(sourceMapping);

/** One source or several, read as a list. */
export const sources = z
  .preprocess(
    // Nothing at all is the default, and not a list with nothing in it.
    (value) => (value === undefined || Array.isArray(value) ? value : [value ?? {}]),
    z.array(sourceMapping, { error }).min(1, { error }).max(SOURCES_MAX, { error }),
  )
  .meta({
    form: anyForm(
      // Nothing in it means the defaults, as for any map.
      { type: 'null' },
      mappingForm,
      { type: 'array', items: mappingForm, minItems: 1, maxItems: SOURCES_MAX },
    ),
  });

export const { shape: sourceShape } = sourceMapping;

/** `name`: of the service, which is also its name in a registry unless the source says another. */
export function buildSources(name: string, given: z.output<typeof sources>): readonly UsedSource[] {
  return given.map(({ priority, ...source }) => ({
    source: { ...source, service: source.service ?? name },
    priority,
  }));
}

function formOf(schema: z.ZodType): Form {
  const { $schema: _, ...form } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return form;
}
