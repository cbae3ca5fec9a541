import { readInTime } from '../../base/timely-file.ts';
import { BOUNDS } from '../../model/bounds.ts';
import type { CheckLogin } from '../../model/service.ts';
import type { Conversation } from '../conversation.ts';

/**
 * The password of a check; '' for none. The file is read each time, so that a new one counts at once. The
 * conversation keeps it secret.
 * Rejects as readInTime does: the check fails with it.
 */
export async function passwordOf(
  { password: fixed, passwordFile }: CheckLogin,
  conversation: Conversation,
): Promise<string> {
  const password =
    passwordFile === ''
      ? fixed
      : (await readInTime(passwordFile, BOUNDS.tokenFile.max)).toString('utf8').trim();
  conversation.keepSecret(password);
  return password;
}
