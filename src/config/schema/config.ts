// Every key of the configuration, once: its type, default, unit and meaning. Types, checks, the JSON
// Schema for editors, config.example.yaml and docs/reference/config.md all come from here.
import { z } from 'zod';
import { staticEndpoint } from '../address-values.ts';
import { registryShape } from '../registries/schemas.ts';
import { count } from '../values.ts';
import { tlsMapping } from './listen.ts';
import { guardSchema, logSchema, memorySchema, shutdownSchema, stateSchema } from './process.ts';
import { registerSchema } from './register.ts';
import { routerSchema } from './router.ts';
import { serviceSchema } from './service.ts';
import { statsSchema } from './stats.ts';

export const configSchema = z.strictObject({
  registries: z
    .strictObject(registryShape)
    .prefault({})
    .meta({ description: 'Where services are registered.' }),
  static: z
    .record(z.string(), z.array(staticEndpoint))
    .prefault({})
    .meta({ description: 'Fixed endpoints by service name: host:port, or host:port weight=5.' }),
  tls: tlsMapping.optional().meta({
    description: 'Settings of listeners with tls: true; each listener may override them.',
  }),
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
  guard: guardSchema
    .prefault({})
    .meta({ description: 'Protection against a registry that omits endpoints which still run.' }),
  state: stateSchema.prefault({}).meta({ description: 'What is kept across a restart.' }),
  memory: memorySchema.prefault({}).meta({ description: 'Memory limit.' }),
  log: logSchema.prefault({}).meta({ description: 'What is logged.' }),
  register: registerSchema.optional().meta({
    description:
      'Register the containers of registries.docker as well, as upriver register does (docs/register.md).',
  }),
  workers: count(1, 256).optional().meta({
    description: 'Data-plane threads; by default one for each core that the process may use.',
  }),
  shutdown: shutdownSchema.prefault({}).meta({ description: 'How the process ends.' }),
});

export type ConfigInput = z.output<typeof configSchema>;
