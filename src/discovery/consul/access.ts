// Consul answers a token without rights as if there were nothing: 200 and an empty list. Where it
// checks rights at all, only what must always be there tells: a catalog has a node, and a
// datacenter has the service consul.
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { pause } from '../../base/pause.ts';
import { ConsulError } from './answer.ts';
import type { ConsulClient } from './client.ts';

const DEADLINE_MS = 10_000;
const RETRY_MS = 10_000;

/**
 * What the token lacks, human-readable; '' when it lacks nothing that can be seen, null when nobody
 * answered.
 */
async function findMissingRights(
  client: ConsulClient,
  signal: AbortSignal,
): Promise<string | null> {
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
    return isRefused ? `the ACL token is refused: ${error.message}` : null;
  }
}

/**
 * An agent with ACLs answers 200 here, or 403 to those it doesn't know; one without them 401, and
 * what only resembles an agent 404. Throws where there is no answer.
 */
async function checksRights(askForSelf: () => Promise<unknown>): Promise<boolean> {
  try {
    await askForSelf();
    return true;
  } catch (error) {
    if (!(error instanceof ConsulError)) throw error;
    if (error.code === 'http-403' || error.code === 'no-index') return true;
    if (error.isRefusal) return false;
    throw error;
  }
}

/** Says in the log what the token lacks, as soon as an agent answers. */
export async function reportMissingRights(
  client: ConsulClient,
  options: { log: Logger; clock: Clock; signal: AbortSignal },
): Promise<void> {
  const { log, clock, signal } = options;
  for (;;) {
    const missing = await findMissingRights(client, signal);
    if (signal.aborted) return;
    if (missing !== null) {
      if (missing !== '') log.error({ registry: 'consul', address: client.address }, missing);
      return;
    }
    await pause(clock, RETRY_MS, signal);
    if (signal.aborted) return;
  }
}
