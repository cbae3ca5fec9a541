// What Node's client needs for a check over TLS. Files are read again when they may have changed: checks
// are many, and read the same ones.
import { isIP } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import { readRegularFile } from '../base/regular-file.ts';
import { BOUNDS } from '../model/bounds.ts';
import type { UpstreamTls } from '../model/service.ts';
import { upstreamKey } from '../model/tls.ts';

const KEPT_MS = 5000;

const made = new Map<string, { context: SecureContext; untilMs: number }>();

export interface CheckTls {
  readonly secureContext: SecureContext;
  /** Absent where there is a bare address: none is asked for then. */
  readonly servername?: string;
  readonly rejectUnauthorized: boolean;
}

/**
 * `name`: that of the endpoint, or its address, where the settings say none. Throws what the system or
 * OpenSSL says of the files.
 */
export function checkTls(tls: UpstreamTls, name: string, nowMs: number): CheckTls {
  const key = upstreamKey(tls);
  let known = made.get(key);
  if (known === undefined || known.untilMs < nowMs) {
    known = { context: contextOf(tls), untilMs: nowMs + KEPT_MS };
    made.set(key, known);
  }
  const servername = tls.serverName || name;
  return {
    secureContext: known.context,
    // Node compares the certificate with the host that is connected to where there is no name.
    ...(isIP(servername) === 0 ? { servername } : {}),
    rejectUnauthorized: tls.verify,
  };
}

function contextOf({ caFile, certFile, keyFile }: UpstreamTls): SecureContext {
  const read = (path: string) => readRegularFile(path, BOUNDS.certificateFile.max);
  return createSecureContext({
    ...(caFile === '' ? {} : { ca: read(caFile) }),
    ...(certFile === '' ? {} : { cert: read(certFile), key: read(keyFile) }),
    minVersion: 'TLSv1.2',
  });
}
