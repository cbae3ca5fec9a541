// What Node's client needs for a check over TLS. Files are read again when they may have changed: checks
// are many, and read the same ones.
import { isIP } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import { assert } from '../base/assert.ts';
import { readInTime } from '../base/timely-file.ts';
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
 * Reads the files of these settings, where that is due, for the checks that follow. Rejects with what the system or
 * OpenSSL says of them, where they could never be read; those of before are used while they can't be.
 */
export async function readCheckTls(tls: UpstreamTls): Promise<void> {
  const key = upstreamKey(tls);
  const nowMs = performance.now();
  const known = made.get(key);
  if (known !== undefined && known.untilMs >= nowMs) return;
  made.set(key, { context: await contextOf(tls), untilMs: nowMs + KEPT_MS });
}

/**
 * `name`: that of the endpoint, or its address, where the settings say none. Throws where the files were not read
 * by readCheckTls.
 */
export function checkTls(tls: UpstreamTls, name: string): CheckTls {
  const known = made.get(upstreamKey(tls));
  assert(known !== undefined, 'the files of a check are read before it');
  const servername = tls.serverName || name;
  return {
    secureContext: known.context,
    // Node compares the certificate with the host that is connected to where there is no name.
    ...(isIP(servername) === 0 ? { servername } : {}),
    rejectUnauthorized: tls.verify,
  };
}

async function contextOf({ caFile, certFile, keyFile }: UpstreamTls): Promise<SecureContext> {
  const read = (path: string) => readInTime(path, BOUNDS.certificateFile.max);
  return createSecureContext({
    ...(caFile === '' ? {} : { ca: await read(caFile) }),
    ...(certFile === '' ? {} : { cert: await read(certFile), key: await read(keyFile) }),
    minVersion: 'TLSv1.2',
  });
}
