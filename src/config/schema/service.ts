// A service: `services.NAME`, made of its sections.
import { z } from 'zod';
import { balance, duration } from '../values.ts';
import { failoverSchema } from './failover.ts';
import { healthSchema } from './health.ts';
import { httpSchema } from './http.ts';
import { limitsSchema, timeoutsSchema } from './limits.ts';
import { listeners } from './listen.ts';
import { panicSchema, passiveSchema } from './passive.ts';
import { primarySchema, selectSchema } from './primary.ts';
import { retrySchema } from './retry.ts';
import { sources } from './source.ts';
import { tcpSchema } from './tcp.ts';
import { tunnelsSchema } from './tunnels.ts';
import { udpSchema } from './udp.ts';
import { upstreamSchema } from './upstream.ts';

export const serviceSchema = z.strictObject({
  listen: listeners.prefault([]).meta({
    description:
      'Where the service is served: a port, address:port, a unix socket, a mapping, or a list of them.',
  }),
  protocol: z.enum(['http', 'tcp', 'udp']).default('http').meta({
    description: 'http carries WebSocket and other upgrades; tcp relays bytes, udp datagrams.',
  }),
  from: sources
    .prefault({})
    .meta({ description: 'The service in the registry, or a list of sources.' }),
  balance: balance.prefault('least-conn').meta({
    description:
      'least-conn, round-robin, random, p2c, ewma, hash(source), hash(header:NAME), hash(cookie:NAME).',
  }),
  health: healthSchema
    .optional()
    .meta({ description: "Active checks; without them the registry's status counts." }),
  passive: passiveSchema
    .prefault({})
    .meta({ description: 'Ejection of endpoints that fail requests.' }),
  panic: panicSchema.prefault({}).meta({ description: 'What happens when few endpoints work.' }),
  failover: failoverSchema
    .prefault({})
    .meta({ description: 'Between sources of different priority.' }),
  retry: retrySchema
    .prefault({})
    .meta({ description: 'Which failures are retried, and how often.' }),
  timeouts: timeoutsSchema.prefault({}).meta({ description: 'Timeouts.' }),
  limits: limitsSchema.prefault({}).meta({ description: 'Resource limits.' }),
  http: httpSchema.prefault({}).meta({
    description: 'Fields that are added to, changed in or removed from requests and responses.',
  }),
  upstream: upstreamSchema.prefault({}).meta({ description: 'How endpoints are reached.' }),
  tunnels: tunnelsSchema
    .prefault({})
    .meta({ description: 'What happens to WebSockets and other upgrades.' }),
  tcp: tcpSchema.prefault({}).meta({ description: 'What is special to TCP services.' }),
  udp: udpSchema.prefault({}).meta({ description: 'What is special to UDP services.' }),
  select: selectSchema
    .default('all')
    .meta({ description: 'all: every endpoint gets traffic; primary: the primary alone.' }),
  primary: primarySchema
    .prefault({})
    .meta({ description: 'How the primary is known, for select: primary.' }),
  slow_start: duration().prefault('0s').meta({
    description:
      'Time over which the traffic of a new endpoint rises to its full share; 0 is none.',
  }),
});

export type ServiceInput = z.output<typeof serviceSchema>;
