// `register`: the registrar beside the balancer.
import { z } from 'zod';
import { anyForm, numberForm, textForm, wholePattern } from '../forms.ts';
import { count, duration, flag } from '../values.ts';

/** Every form of a URI, for messages. */
export const REGISTRY_URIS =
  'consul://host:port, consul-tls://, consul-unix:///path, consulkv://host:port/prefix, etcd://host:port/prefix, skydns2://host:port/domain or docker-register://host:port/prefix';

/** What follows the scheme is read by what it stands for. */
const URI =
  '|(?:consul(?:-tls|-unix)?|consulkv(?:-tls|-unix)?|etcd[23]?|skydns2|docker-register):[^\\s]*';

export const registerSchema = z.strictObject({
  to: z
    .string()
    .regex(new RegExp(`^(?:${URI})$`), `expected ${REGISTRY_URIS}`)
    .default('')
    .meta({
      form: textForm(URI),
      description:
        'The registry to register in, as a URI: consul://host:port, consulkv://host:port/prefix, etcd://host:port/prefix, skydns2://host:port/domain, docker-register://host:port/prefix.',
    }),
  hostname: z
    .string()
    .default('')
    .meta({ description: "The host's name in ids; the machine's own by default." }),
  ip: z.string().default('').meta({
    description: 'Address of published ports; by default the one that the host name stands for.',
  }),
  internal: flag
    .prefault(false)
    .meta({ description: "Register containers' own addresses and exposed ports." }),
  explicit: flag
    .prefault(false)
    .meta({ description: 'Register only containers that say SERVICE_NAME.' }),
  use_ip_from_label: z
    .string()
    .default('')
    .meta({ description: "A label that holds the container's address." }),
  tags: z.string().default('').meta({
    description: 'More tags of all services, separated by commas; may be a template.',
  }),
  cleanup: flag.prefault(false).meta({
    description: 'Remove what was registered from this host for containers that are gone.',
  }),
  deregister: z.enum(['always', 'on-success']).default('always').meta({
    description: 'on-success keeps containers registered that ended with a failure.',
  }),
  deregister_on_exit: flag
    .prefault(false)
    .meta({ description: 'Deregister everything when the process ends.' }),
  resync: duration()
    .prefault('0s')
    .meta({ description: 'Interval at which everything is registered again; 0: never.' }),
  ttl: duration().prefault('0s').meta({
    description: 'Time to live of a registration in etcd; 0 for no end, or 15s by docker-register.',
  }),
  ttl_refresh: duration().prefault('0s').meta({
    description:
      'Interval at which the time to live is renewed; required with ttl, and less than it.',
  }),
  retry_attempts: z
    .union([z.literal(-1), z.literal('-1').transform(() => -1), count(0, 1_000_000)], {
      error: 'expected a whole number from 0 to 1000000, or -1',
    })
    .meta({
      form: anyForm(
        { enum: [-1, '-1'] },
        numberForm(0, 1_000_000),
        textForm(wholePattern(0, 1_000_000)),
      ),
    })
    .prefault(0)
    .meta({
      description: 'Retries to reach the registry at the start; -1: unlimited.',
    }),
  retry_interval: duration(1).prefault('2s').meta({ description: 'Time between two retries.' }),
});

export type RegisterInput = z.output<typeof registerSchema>;
