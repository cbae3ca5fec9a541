// Every key of the configuration, once: its type, default, unit and meaning. Types, checks, the JSON
// Schema for editors, config.example.yaml and docs/reference/config.md all come from here.
import { z } from 'zod';
import { AGENT, LISTEN_RULE, NETWORK, READER, SERVED_NAME } from './forms.ts';
import { listeners } from './schema/listen.ts';
import {
  absolutePath,
  agentAddress,
  autoFlag,
  balance,
  count,
  duration,
  fieldName,
  fieldValue,
  flag,
  hedge,
  hostName,
  hostPattern,
  listenAddress,
  listenRule,
  listOf,
  location,
  network,
  oneOf,
  orList,
  pathPrefix,
  reader,
  requestId,
  servedName,
  share,
  size,
  staticEndpoint,
  statusOrKind,
  statusRanges,
  token,
} from './values.ts';

const accept = ['passing', 'warning', 'critical', 'maintenance'] as const;

export const fromSchema = z.strictObject({
  registry: z
    .enum(['consul', 'static'])
    .default('consul')
    .meta({ description: 'Where the endpoints come from.' }),
  service: z
    .string()
    .min(1)
    .optional()
    .meta({ description: "Name in the registry; the service's own by default." }),
  tag: z.string().default('').meta({ description: 'Only instances with this tag.' }),
  datacenter: z.string().default('').meta({ description: "Another datacenter than the agent's." }),
  filter: z.string().default('').meta({ description: "Consul's filter expression." }),
  namespace: z.string().default('').meta({ description: 'Consul Enterprise namespace.' }),
  partition: z.string().default('').meta({ description: 'Consul Enterprise partition.' }),
  peer: z.string().default('').meta({ description: 'Consul cluster peer.' }),
  accept: listOf(z.enum(accept), accept.join('|'))
    .prefault(['passing', 'warning'])
    .meta({ description: 'Registry statuses that get traffic.' }),
});

export const healthSchema = z.strictObject({
  type: z.enum(['http', 'tcp']).optional().meta({
    description:
      'What is asked: http asks for a path, tcp only connects; by default what fits the service.',
  }),
  path: absolutePath.prefault('/').meta({ description: 'Path of an HTTP check.' }),
  host: z
    .string()
    .default('')
    .meta({ description: 'Host field of an HTTP check; address:port by default.' }),
  method: z
    .enum(['GET', 'HEAD', 'OPTIONS'])
    .default('GET')
    .meta({ description: 'Method of an HTTP check.' }),
  port: count(0, 65535)
    .prefault(0)
    .meta({ description: "Port to check; 0 is the endpoint's own." }),
  interval: duration(100)
    .prefault('2s')
    .meta({ description: 'Time between two checks, 100ms at least.' }),
  timeout: duration(1)
    .prefault('1s')
    .meta({ description: 'A check without an answer for so long is bad.' }),
  rise: count(1, 100)
    .prefault(2)
    .meta({ description: 'Good checks in a row that bring an endpoint up.' }),
  fall: count(1, 100).prefault(3).meta({ description: 'Bad checks in a row that bring it down.' }),
  status: statusRanges.prefault('200-399').meta({ description: 'Statuses that are good.' }),
  initial: z
    .enum(['up', 'down'])
    .default('down')
    .meta({ description: 'What a new endpoint is until its first check.' }),
});

const successRateSchema = z.strictObject({
  enabled: autoFlag.prefault('auto').meta({
    description:
      'Eject endpoints that fail while their peers do not; auto: unless balance is hash(...) or consecutive_failures is 0.',
  }),
  window: duration(1000).prefault('1m').meta({
    description: 'Longest evaluation window; clear evidence ejects as soon as it is there.',
  }),
  min_requests: count(1, 1_000_000)
    .prefault(10)
    .meta({ description: 'Minimum number of requests to an endpoint for a comparison.' }),
  min_endpoints: count(2, 10_000)
    .prefault(2)
    .meta({ description: 'Minimum number of endpoints with requests for a comparison.' }),
  excess: share.prefault('1%').meta({
    description:
      "Share of failures above that of the peers that is tolerated; twice the peers' odds are tolerated as well.",
  }),
});

const latencySchema = z.strictObject({
  enabled: flag.prefault(false).meta({
    description: 'Eject endpoints whose p99 is above `factor` times that of their peers.',
  }),
  factor: count(2, 1000)
    .prefault(3)
    .meta({ description: "Multiple of the peers' p99 that is tolerated." }),
  min: duration()
    .prefault('20ms')
    .meta({ description: 'Response times below this are never slow.' }),
});

export const passiveSchema = z.strictObject({
  consecutive_failures: count(0, 10_000).prefault(5).meta({
    description:
      'Failed attempts in a row, of any kind, that eject an endpoint; 0 turns ejection for them off.',
  }),
  connect_failures: count(0, 10_000).prefault(3).meta({
    description:
      'Failed connects in a row that eject; 0 is no limit of their own. Off with consecutive_failures.',
  }),
  resets: count(0, 10_000).prefault(0).meta({
    description: 'Connections in a row that broke before the answer was complete; 0 is no limit.',
  }),
  timeouts: count(0, 10_000).prefault(3).meta({
    description:
      'Requests in a row without an answer in time; 0 is no limit of their own. Off with consecutive_failures. With a limit, an endpoint that answers nobody for a whole response timeout is ejected at once.',
  }),
  gateway_errors: count(0, 10_000).prefault(0).meta({
    description: 'Answers 502, 503 and 504 in a row; 0 is no limit.',
  }),
  server_errors: count(0, 10_000).prefault(0).meta({
    description: 'Answers 500 to 599 in a row; 0 is no limit.',
  }),
  success_rate: successRateSchema
    .prefault({})
    .meta({ description: 'Comparison with the other endpoints by failures.' }),
  latency: latencySchema
    .prefault({})
    .meta({ description: 'Comparison with the other endpoints by response times.' }),
  ejection: duration(1).prefault('10s').meta({
    description: 'How long the first ejection lasts; each further one in a row is longer.',
  }),
  max_ejected: share
    .prefault('50%')
    .meta({ description: 'Share of the endpoints that may be ejected at once.' }),
});

export const panicSchema = z.strictObject({
  threshold: share.prefault('50%').meta({
    description:
      'Below this share of working endpoints, those that only our checks and ejection took out are used too; 0 turns it off.',
  }),
  spread: z.enum(['spill', 'all']).default('spill').meta({
    description:
      'spill: they get what the working ones cannot take, and retries; all: requests are balanced over all alike.',
  }),
});

const RETRY_ON = ['connect', 'reset', 'timeout', 'bad-response'] as const;

/** Kinds of failure and status codes in one list. */
const retryOn = z
  .union([
    z.array(z.union([z.string(), z.number()])),
    z.union([z.string(), z.number()]).transform((text) =>
      String(text)
        .split(',')
        .map((word) => word.trim()),
    ),
  ])
  .transform((list, context) => {
    const kinds: (typeof RETRY_ON)[number][] = [];
    const statuses: number[] = [];
    for (const item of list) {
      const kind = RETRY_ON.find((known) => known === item);
      if (kind !== undefined) kinds.push(kind);
      else if (/^[45]\d\d$/.test(String(item))) statuses.push(Number(item));
      else {
        context.addIssue({
          code: 'custom',
          message: `'${item}': expected ${orList([...RETRY_ON, 'a status from 400 to 599'])}`,
        });
        return z.NEVER;
      }
    }
    return { kinds, statuses };
  })
  .meta({ form: statusOrKind(RETRY_ON) });

export const retrySchema = z.strictObject({
  attempts: count(1, 20).prefault(3).meta({ description: 'Attempts in all; 1 turns retries off.' }),
  connect_attempts: count(1, 1000).prefault(32).meta({
    description: 'Endpoints that are asked at most while none has seen the request.',
  }),
  connect_time: duration(1).prefault('15s').meta({
    description: 'How long after its first attempt a request may be tried on another endpoint.',
  }),
  on: retryOn.prefault(['connect', 'reset', 'timeout', 'bad-response', 502, 503, 504]).meta({
    description:
      'Failures that are tried again: connect, reset, timeout, bad-response, and statuses. Only what is safe to repeat is repeated.',
  }),
  budget: share.prefault('20%').meta({ description: 'Share of the requests that may be retries.' }),
  budget_min: count(0, 100_000)
    .prefault(10)
    .meta({ description: 'Retries per second that are always allowed.' }),
  body: size
    .prefault('64KiB')
    .meta({ description: 'Largest request body that is kept for another attempt.' }),
  hedge: hedge.prefault('off').meta({
    description:
      'A second try on another endpoint when the first is slow, for what is safe to repeat: off, a time, or p95 for the time in which 95% of the responses come.',
  }),
});

/** What belongs to a listener: of a service that has one, or of a router. */
const listenerTimeouts = {
  client_header: duration(1)
    .prefault('10s')
    .meta({ description: 'From the first byte of a request head to its last.' }),
  keep_alive: duration(1)
    .prefault('1m')
    .meta({ description: 'How long a client connection may wait for its next request.' }),
};

const listenerLimits = {
  header_bytes: size.prefault('32KiB').meta({ description: 'Size of a request head.' }),
  header_count: count(1, 1000).prefault(100).meta({ description: 'Fields of a request head.' }),
  target_bytes: size.prefault('8KiB').meta({ description: 'Length of a request target.' }),
  keep_alive_requests: count(0, 1_000_000_000)
    .prefault(0)
    .meta({ description: 'Requests on one client connection; 0 is no limit.' }),
  pipelined: count(0, 1_000_000).prefault(0).meta({
    description:
      'Requests that a client may have sent ahead of their answers; 0 is what fits into one read (64 KiB).',
  }),
};

/** Paths of the keys of a service that mean nothing where only routers lead to it. */
export const LISTENER_KEYS: readonly (readonly string[])[] = [
  ...Object.keys(listenerTimeouts).map((key) => ['timeouts', key]),
  ...Object.keys(listenerLimits).map((key) => ['limits', key]),
];

export const timeoutsSchema = z.strictObject({
  connect: duration(1).prefault('5s').meta({ description: 'To connect to an endpoint.' }),
  response: duration(1)
    .prefault('1m')
    .meta({ description: 'From the request sent to the first byte of the response.' }),
  idle: duration()
    .optional()
    .meta({ description: 'Default of the three that follow; without it each has its own.' }),
  // Optional, since a default of their own would hide whether `idle` is to be taken.
  idle_body: duration()
    .optional()
    .meta({ 'x-default': '1m', description: 'Between two pieces of a body; 0 is no limit.' }),
  idle_tunnel: duration().optional().meta({
    'x-default': '1h',
    description: 'An upgraded connection without a byte either way; 0 is no limit.',
  }),
  idle_tcp: duration().optional().meta({
    'x-default': '1h',
    description: 'A TCP session without a byte either way; 0 is no limit.',
  }),
  ...listenerTimeouts,
  request: duration().prefault('0s').meta({
    description:
      'From the request head to the end of the response, with all attempts; 0 is no limit.',
  }),
});

export const tcpSchema = z.strictObject({
  early_failure: duration().prefault('1s').meta({
    description:
      'A session that the endpoint ends within this time without having sent a byte moves to another endpoint, and one that it cuts counts as a failure; 0 trusts every connection.',
  }),
});

export const limitsSchema = z.strictObject({
  connections: count(1, 10_000_000)
    .prefault(10_000)
    .meta({ description: 'Client connections of the service.' }),
  connections_per_client: count(0, 10_000_000)
    .prefault(0)
    .meta({ description: 'Of them those of one client address; 0 is no limit.' }),
  per_endpoint: count(0, 1_000_000)
    .prefault(0)
    .meta({ description: 'Requests in flight per endpoint; 0 is no limit.' }),
  queue: count(0, 1_000_000)
    .prefault(1000)
    .meta({ description: 'Requests that may wait for a place.' }),
  queue_timeout: duration().prefault('5s').meta({ description: 'How long one may wait.' }),
  park: duration().prefault('0s').meta({
    description:
      'How long requests wait for an endpoint to come up when there is none; 0 answers 503 at once.',
  }),
  requests: count(0, 1_000_000).prefault(0).meta({
    description:
      'Requests in flight of the service, over all workers; more wait in the queue. 0 is no limit.',
  }),
  adaptive: flag.prefault(false).meta({
    description: 'Find such a limit from response times, and answer 503 early above it.',
  }),
  ...listenerLimits,
  body: size.prefault('0').meta({ description: 'Size of a request body; 0 is no limit.' }),
  idle_upstream: count(0, 100_000)
    .prefault(100)
    .meta({ description: 'Idle upstream connections kept per endpoint and worker.' }),
  idle_upstream_time: duration().prefault('30s').meta({ description: 'How long one is kept.' }),
  upstream_age: duration()
    .prefault('0s')
    .meta({ description: 'How long an upstream connection gets new requests; 0 is no limit.' }),
});

const headerRules = z
  .record(fieldName, fieldValue)
  .prefault({})
  .meta({ description: 'Fields to set; an empty value removes the field.' });

const renameRules = z
  .record(fieldName, fieldName)
  .default({})
  .meta({ description: 'Fields to rename, new name by old one; done before fields are set.' });

export const httpSchema = z.strictObject({
  trusted_proxies: listOf(network, NETWORK).prefault([]).meta({
    description:
      "Networks whose X-Forwarded-* are believed and extended; all others' are replaced.",
  }),
  forwarded: flag.prefault(false).meta({ description: 'Send RFC 7239 Forwarded as well.' }),
  via: flag
    .prefault(false)
    .meta({ description: 'Add Via, and refuse requests that passed through here before.' }),
  request_id: requestId.prefault(false).meta({
    description:
      "Give every request an X-Request-Id: sent to the endpoint, returned to the client, and in the logs. true takes the id of trusted proxies, keep that of any client; else it is a new one, in place of the client's.",
  }),
  server: fieldValue
    .prefault('')
    .meta({ description: 'Server field of our own replies; none by default.' }),
  request_headers: headerRules,
  response_headers: headerRules,
  rename_request_headers: renameRules,
  rename_response_headers: renameRules,
});

export const serviceSchema = z.strictObject({
  listen: listeners.prefault([]).meta({
    description:
      'Where the service is served: a port, address:port, a unix socket, a mapping, or a list of them.',
  }),
  protocol: z
    .enum(['http', 'tcp'])
    .default('http')
    .meta({ description: 'http carries WebSocket and other upgrades; tcp relays bytes.' }),
  from: fromSchema.prefault({}).meta({ description: 'The service in the registry.' }),
  balance: balance.prefault('least-conn').meta({
    description:
      'least-conn, round-robin, random, p2c, ewma, hash(source), hash(header:NAME), hash(cookie:NAME).',
  }),
  health: healthSchema
    .optional()
    .meta({ description: "Active checks; without, the registry's word counts." }),
  passive: passiveSchema
    .prefault({})
    .meta({ description: 'Ejection of endpoints that fail requests.' }),
  panic: panicSchema
    .prefault({})
    .meta({ description: 'What is done when few endpoints are left.' }),
  retry: retrySchema.prefault({}).meta({ description: 'What is tried again.' }),
  timeouts: timeoutsSchema.prefault({}).meta({ description: 'How long things may take.' }),
  limits: limitsSchema.prefault({}).meta({ description: 'How much of everything there may be.' }),
  http: httpSchema
    .prefault({})
    .meta({ description: 'What is added to and taken from requests and responses.' }),
  tcp: tcpSchema.prefault({}).meta({ description: 'What is special to TCP services.' }),
  slow_start: duration()
    .prefault('0s')
    .meta({ description: 'Time over which a new endpoint comes to its full share; 0 is none.' }),
});

export const routeSchema = z.strictObject({
  host: hostPattern.prefault('').meta({ description: 'Host, or *.example.com; any by default.' }),
  path: absolutePath.prefault('/').meta({ description: 'Path prefix, by whole segments.' }),
  service: z.string().default('').meta({ description: 'The service that answers.' }),
  strip: pathPrefix.prefault('').meta({ description: 'Prefix taken off the path.' }),
  prefix: pathPrefix.prefault('').meta({ description: 'Prefix put before the path.' }),
  rewrite_host: hostName.prefault('').meta({ description: 'Host sent to the endpoint.' }),
  redirect: z
    .strictObject({
      status: oneOf([301, 302, 303, 307, 308])
        .prefault(302)
        .meta({ description: 'Status of the redirect.' }),
      location: location.meta({
        description:
          'Where to: its Location field, with $host, $path and $request_uri of the request.',
      }),
    })
    .optional()
    .meta({ description: 'Answer with this redirect instead.' }),
});

export const routerSchema = z.strictObject({
  listen: listeners.meta({ description: 'Where the router listens, written as for a service.' }),
  routes: z
    .array(routeSchema)
    .meta({ description: 'Rules; exact hosts and longer paths go first.' }),
  limits: z
    .strictObject(listenerLimits)
    .prefault({})
    .meta({ description: 'What its clients may send.' }),
  timeouts: z
    .strictObject({
      ...listenerTimeouts,
      idle_body: duration().prefault('1m').meta({
        description: 'How long a client may take nothing of an answer; 0 is no limit.',
      }),
    })
    .prefault({})
    .meta({ description: 'How long its clients may take.' }),
});

const tlsSchema = z.strictObject({
  ca_file: z.string().default('').meta({ description: 'CA certificates (PEM).' }),
  cert_file: z.string().default('').meta({ description: 'Client certificate (PEM).' }),
  key_file: z.string().default('').meta({ description: 'Its key (PEM).' }),
  server_name: z
    .string()
    .default('')
    .meta({ description: "Name expected in the agent's certificate." }),
  verify: flag.prefault(true).meta({ description: "Check the agent's certificate." }),
});

/**
 * Where no endpoint is, and a request does harm: this network, link-local addresses with the
 * metadata services of clouds among them, those that have one elsewhere (AWS and GCP by IPv6, Azure,
 * Alibaba, Oracle), multicast, broadcast.
 */
const DENIED = [
  ...['169.254.0.0/16', 'fe80::/10', 'fd00:ec2::254', 'fd20:ce::254', '168.63.129.16'],
  ...['100.100.100.200', '192.0.0.192', '224.0.0.0/4', 'ff00::/8', '255.255.255.255'],
];

export const consulSchema = z.strictObject({
  address: listOf(agentAddress, AGENT)
    .prefault(['http://127.0.0.1:8500'])
    .meta({ description: 'Agents, in fail-over order.' }),
  token: z.string().default('').meta({ description: 'ACL token.' }),
  token_file: z
    .string()
    .default('')
    .meta({ description: 'File with the token, read again when it changes.' }),
  http_auth: z
    .string()
    .default('')
    .meta({ description: 'user:password for HTTP basic authentication.' }),
  datacenter: z
    .string()
    .default('')
    .meta({ description: "Datacenter to ask for; the agent's by default." }),
  namespace: z.string().default('').meta({ description: 'Consul Enterprise namespace.' }),
  partition: z.string().default('').meta({ description: 'Consul Enterprise partition.' }),
  stale: flag.prefault(true).meta({ description: 'Let any server answer: also without a leader.' }),
  wait: duration(1000, 600_000)
    .prefault('1m')
    .meta({ description: 'How long a blocking query waits.' }),
  tls: tlsSchema.prefault({}).meta({ description: 'For https agents.' }),
  self_described: flag.prefault(true).meta({ description: 'Serve services that carry our tags.' }),
  tag_prefix: z
    .string()
    .min(1)
    .default('upriver')
    .meta({ description: 'Tags PREFIX.key=value and Meta PREFIX-key.' }),
  listen_allow: listOf(listenRule, LISTEN_RULE).prefault(['80', '443', '1024-65535']).meta({
    description:
      'Where services may listen that describe themselves: ports, ranges, address:port, network:port, or /folder/ for unix sockets.',
  }),
  endpoint_deny: listOf(network, NETWORK).prefault(DENIED).meta({
    description:
      'Networks in which no endpoint of the registry may be; by default link-local, metadata and multicast addresses. Add 127.0.0.0/8 and ::1 where no endpoint runs on this host.',
  }),
  kv_key: z
    .string()
    .regex(/^(?![\s\S]*(?:^|\/)\.{1,2}(?:\/|$))/, 'expected a key without segments . and ..')
    .default('upriver/config')
    .meta({ description: 'KV key with configuration laid over this file; empty turns it off.' }),
});

export const statsSchema = z.strictObject({
  listen: z
    .union([listenAddress, z.literal('off').transform(() => null)], {
      error: 'expected a port, address:port, the path of a unix socket, or off',
    })
    .prefault(':1936')
    .meta({ description: 'Address of the stats port; off for none.' }),
  admin_token: token.default('').meta({
    description: 'Token for changes from other machines; without, only loopback may.',
  }),
  read: listOf(reader, READER).prefault(['any']).meta({
    description:
      'Who may read: any, loopback, token, addresses and networks; health checks are open to all.',
  }),
  read_token: token.default('').meta({
    description: 'Token for reading where read says token; the admin token reads as well.',
  }),
  hosts: listOf(servedName, SERVED_NAME).prefault([]).meta({
    description:
      'Names under which the port is served, beside addresses, names of this machine and private names: a page of another site may borrow an address, not a name.',
  }),
});

export const configSchema = z.strictObject({
  registries: z
    .strictObject({
      consul: consulSchema.optional().meta({ description: 'Follow Consul.' }),
    })
    .prefault({})
    .meta({ description: 'Where services are registered.' }),
  static: z
    .record(z.string(), z.array(staticEndpoint))
    .prefault({})
    .meta({ description: 'Fixed endpoints by service name: host:port, or host:port weight=5.' }),
  services: z
    .record(
      z.string().regex(/^(?!\.{1,2}$)[^\s/\0]+$/, 'expected a name without white space or slash'),
      serviceSchema,
    )
    .default({})
    .meta({ description: 'Services by name.' }),
  routers: z
    .array(routerSchema)
    .default([])
    .meta({ description: 'Several services behind one port, by host and path.' }),
  stats: statsSchema.prefault({}).meta({ description: 'Dashboard, metrics and API.' }),
  guard: z
    .strictObject({
      enabled: flag
        .prefault(true)
        .meta({ description: 'Hold endpoints that a registry which came back leaves out.' }),
      hold: duration().prefault('30s').meta({
        description:
          'How long they are held; longer while the registry is in doubt and their active check passes.',
      }),
      max_removed: share.prefault('50%').meta({
        description:
          'An answer that leaves out more of a service is confirmed by a second, consistent read; 100% is never asked.',
      }),
    })
    .prefault({})
    .meta({ description: 'Protection against a registry that leaves out what is there.' }),
  state: z
    .strictObject({
      file: z.string().default('').meta({
        description: 'The last table is kept here, and served at a start without the registry.',
      }),
    })
    .prefault({})
    .meta({ description: 'What is kept over a restart.' }),
  memory: z
    .strictObject({
      max: size.prefault('0').meta({
        description:
          'What the process may take; near it load is shed. 0 is what container and machine allow.',
      }),
    })
    .prefault({})
    .meta({ description: 'How much memory there is.' }),
  log: z
    .strictObject({
      level: z
        .enum(['debug', 'info', 'warn', 'error'])
        .default('info')
        .meta({ description: 'Least level that is logged.' }),
      format: z
        .enum(['json', 'pretty'])
        .default('json')
        .meta({ description: 'One JSON object per line, or lines for people.' }),
      access: z.string().default('off').meta({ description: 'Access log: off, stdout or a file.' }),
    })
    .prefault({})
    .meta({ description: 'What is logged.' }),
  workers: count(1, 256)
    .optional()
    .meta({ description: 'Data-plane threads; the cores of the machine by default.' }),
  shutdown: z
    .strictObject({
      grace: duration()
        .prefault('30s')
        .meta({ description: 'How long what is in flight may take after SIGTERM.' }),
    })
    .prefault({})
    .meta({ description: 'How the process ends.' }),
});

export type ConfigInput = z.output<typeof configSchema>;
export type ServiceInput = z.output<typeof serviceSchema>;
