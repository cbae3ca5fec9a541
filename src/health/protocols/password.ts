import { readRegularFile } from '../../base/regular-file.ts';
import { BOUNDS } from '../../model/bounds.ts';
import type { CheckLogin } from '../../model/service.ts';

/**
 * The password of a check; '' for none. The file is read each time, so that a new one counts at once.
 * Throws what readRegularFile throws: the check fails with it.
 */
export function passwordOf({ password, passwordFile }: CheckLogin): string {
  if (passwordFile === '') return password;
  return readRegularFile(passwordFile, BOUNDS.tokenFile.max).toString('utf8').trim();
}
