// Consul answers a token without rights as if there were nothing: 200 and an empty list. Where it
// checks rights at all, only what must always be there tells: a catalog has a node, and a
// datacenter has the service consul.
import type { Logger } from '../../base/log.ts';
import { ConsulError } from './answer.ts';
import type { ConsulClient } from './client.ts';

const DEADLINE_MS = 10_000;

/** What the token lacks, for people; '' when it lacks nothing that can be seen, or nobody answers. */
export async function findMissingRights(
  client: ConsulClient,
  signal: AbortSignal,
): Promise<string> {
  const get = async (path: string) =>
    (await client.get({ path, deadlineMs: DEADLINE_MS, signal })).body;
  try {
    if (!(await checksRights(() => get('/v1/acl/token/self')))) return '';
    const nodes = await get('/v1/catalog/nodes');
    if (Array.isArray(nodes) && nodes.length === 0) {
      return 'the ACL token (or its absence) gives no node:read: every service looks empty';
    }
    const services = (await get('/v1/catalog/services')) ?? {};
    if (Object.keys(services).length > 0) return '';
    return 'the ACL token (or its absence) gives no service:read: every service looks empty';
  } catch (error) {
    const isRefused = error instanceof ConsulError && error.code === 'http-403';
    return isRefused ? `the ACL token is refused: ${error.message}` : '';
  }
}

/** An agent without ACLs answers 401 here; one with them 200, or 403 to those it doesn't know. */
async function checksRights(askForSelf: () => Promise<unknown>): Promise<boolean> {
  try {
    await askForSelf();
    return true;
  } catch (error) {
    return error instanceof ConsulError && ['http-403', 'no-index'].includes(error.code);
  }
}

/** Says in the log what the token lacks. */
export async function reportMissingRights(
  client: ConsulClient,
  options: { log: Logger; signal: AbortSignal },
): Promise<void> {
  const { log, signal } = options;
  const missing = await findMissingRights(client, signal);
  if (missing === '' || signal.aborted) return;
  log.error({ registry: 'consul', address: client.address }, missing);
}
