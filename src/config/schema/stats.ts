// The stats port: `stats`.
import { z } from 'zod';
import type { StatsSettings } from '../../model/settings.ts';
import { READER, SERVED_NAME } from '../forms.ts';
import { listenAddress, listOf, reader, servedName, token } from '../values.ts';

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

export function buildStats(stats: z.output<typeof statsSchema>): StatsSettings {
  return {
    listen: stats.listen,
    adminToken: stats.admin_token,
    read: stats.read,
    readToken: stats.read_token,
    hosts: stats.hosts,
  };
}
