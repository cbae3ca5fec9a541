import { readInTime } from '../../base/timely-file.ts';
import { BOUNDS } from '../../model/bounds.ts';
import type { CheckLogin } from '../../model/service.ts';

/**
 * The password of a check; '' for none. The file is read each time, so that a new one counts at once.
 * Rejects as readInTime does: the check fails with it.
 */
export async function passwordOf({ password, passwordFile }: CheckLogin): Promise<string> {
  if (passwordFile === '') return password;
  return (await readInTime(passwordFile, BOUNDS.tokenFile.max)).toString('utf8').trim();
}
