// What concerns the process as a whole: `guard`, `state`, `memory`, `log`, `shutdown`.
import { z } from 'zod';
import { duration, flag, share, size } from '../values.ts';

export const guardSchema = z.strictObject({
  enabled: flag
    .prefault(true)
    .meta({ description: 'Hold endpoints that the registry omits after an outage.' }),
  hold: duration().prefault('30s').meta({
    description:
      'How long they are held; longer while the registry is in doubt and their active check passes.',
  }),
  max_removed: share.prefault('50%').meta({
    description:
      'An answer that omits more than this share of the endpoints is confirmed by a second, consistent read; 100%: never.',
  }),
});

export const stateSchema = z.strictObject({
  file: z.string().default('').meta({
    description: 'The last table is kept here, and served at a start without the registry.',
  }),
});

export const memorySchema = z.strictObject({
  max: size.prefault('0').meta({
    description:
      'Memory limit of the process; near it load is shed. 0: what the container and the machine allow.',
  }),
});

export const logSchema = z.strictObject({
  level: z
    .enum(['debug', 'info', 'warn', 'error'])
    .default('info')
    .meta({ description: 'Minimum level that is logged.' }),
  format: z
    .enum(['json', 'pretty'])
    .default('json')
    .meta({ description: 'json: one object per line; pretty: human-readable lines.' }),
  access: z.string().default('off').meta({ description: 'Access log: off, stdout or a file.' }),
});

export const shutdownSchema = z.strictObject({
  grace: duration()
    .prefault('30s')
    .meta({ description: 'How long what is in flight may take after SIGTERM.' }),
});
