// The stats port: `stats`.
import { z } from 'zod';
import type { StatsSettings } from '../../model/settings.ts';
import { reader, servedName } from '../address-values.ts';
import { READER, SERVED_NAME } from '../forms.ts';
import { listOf, token } from '../values.ts';
import { buildTls, statsListen, type TlsInput } from './listen.ts';

export const statsSchema = z.strictObject({
  listen: statsListen.prefault(':1936').meta({
    description:
      'Address of the stats port, or a mapping of address and tls (true, or its own settings); off for none.',
  }),
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

/** `shared`: the section `tls`. */
export function buildStats(
  stats: z.output<typeof statsSchema>,
  shared: TlsInput | undefined,
): StatsSettings {
  const { listen } = stats;
  const tls = listen?.tls ?? false;
  return {
    listen: listen?.address ?? null,
    tls: tls === false ? null : buildTls(tls === true ? {} : tls, shared),
    adminToken: stats.admin_token,
    read: stats.read,
    readToken: stats.read_token,
    hosts: stats.hosts,
  };
}
