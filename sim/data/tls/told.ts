// What an endpoint is told of the TLS of a client's connection, in fields that no client can set.
import type { Request } from '../book.ts';
import { NO_ADDRESS } from '../plan.ts';

/** Throws where the fields of a request say anything but what its connection was. */
export function checkTold(
  { id, secure = null, port, address }: Request,
  get: (name: string) => string | undefined,
): void {
  const check = (name: string, value: string): void => {
    const told = get(name) ?? '';
    if (told !== value)
      throw new Error(`${id} with ${name} ${told || 'missing'}, not ${value || 'none'}`);
  };
  check('x-forwarded-proto', secure === null ? 'http' : 'https');
  // A unix socket has none.
  check('x-forwarded-port', address === NO_ADDRESS ? '' : `${port}`);
  check('x-client-cert-subject', secure?.subject ?? '');
  check('x-client-cert-fingerprint', secure?.fingerprint ?? '');
}
