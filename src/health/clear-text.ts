// Which endpoints get the password of a check in clear text. PostgreSQL and MySQL servers may ask for it in the
// place of a proof: AuthenticationCleartextPassword, and caching_sha2_password, where the password is encrypted
// for whatever public key the server sends.
import { LOOPBACK, Networks, parseIp } from '../base/ip-address.ts';
import type { HealthCheck } from '../model/service.ts';
import type { CheckTarget } from './outcome.ts';

const loopback = new Networks(LOOPBACK);

/** Why a password was kept back, after what the endpoint asked for. */
export const WITHHELD = 'not sent without TLS that is verified (health.password_cleartext)';

/**
 * Whether an endpoint that asks for the password itself, not for a proof of it, gets it: over TLS whose
 * certificate is verified, on loopback, or where the configuration says so. Elsewhere whoever has
 * registered an endpoint, or is on the path to it, could ask for it.
 */
export function mayShowPassword({ tls, login }: HealthCheck, { address }: CheckTarget): boolean {
  if (login.isCleartextAllowed || tls?.verify === true) return true;
  const ip = parseIp(address);
  return ip !== null && loopback.has(ip);
}
