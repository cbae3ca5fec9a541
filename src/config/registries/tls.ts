// TLS towards a registry: `tls` of its settings.
import { z } from 'zod';
import type { TlsSettings } from '../../model/registries/tls.ts';
import { filePath, flag } from '../values.ts';

export const tlsSchema = z.strictObject({
  ca_file: filePath.default('').meta({ description: 'CA certificates (PEM).' }),
  cert_file: filePath.default('').meta({ description: 'Client certificate (PEM).' }),
  key_file: filePath.default('').meta({ description: 'Its key (PEM).' }),
  server_name: z
    .string()
    .default('')
    .meta({ description: "Name expected in the server's certificate." }),
  verify: flag.prefault(true).meta({ description: "Check the server's certificate." }),
});

export function buildTls(tls: z.output<typeof tlsSchema>): TlsSettings {
  return {
    caFile: tls.ca_file,
    certFile: tls.cert_file,
    keyFile: tls.key_file,
    serverName: tls.server_name,
    verify: tls.verify,
  };
}
