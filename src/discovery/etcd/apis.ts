// Which APIs a member speaks. v2 and v3 are two stores with keys of their own: docker-register writes
// v2 alone, and a member with both may have services in either. So `auto` follows each that is there.
import { fieldsOf, textOf } from '../../base/foreign.ts';
import type { Asking, EtcdClient } from './client.ts';
import { EtcdError, NO_API, NO_KEY } from './error.ts';
import type { Api } from './stock.ts';

/** The gateway of v3 has its path, /v3/, from here on. */
const GATEWAY = { major: 3, minor: 4 };

/** The APIs that the member speaks. Throws EtcdError where that can't be found out, or it speaks none. */
export async function findApis(client: EtcdClient, asking: Asking): Promise<Api[]> {
  const { body } = await client.get('/version', asking);
  // Before etcd 2.1 it was plain text, and no JSON.
  const version = textOf(fieldsOf(body).etcdserver);
  const apis: Api[] = [];
  if (await hasV2(client, asking)) apis.push('v2');
  if (await hasV3(client, asking, version)) apis.push('v3');
  if (apis.length > 0) return apis;
  const why = `etcd ${version} answers neither by v2 (--enable-v2) nor by v3's gateway (--enable-grpc-gateway)`;
  throw new EtcdError('no-api', why);
}

async function hasV2(client: EtcdClient, asking: Asking): Promise<boolean> {
  return isThere(() => client.get('/v2/keys/?quorum=false', asking));
}

async function hasV3(client: EtcdClient, asking: Asking, version: string): Promise<boolean> {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < GATEWAY.major || (major === GATEWAY.major && minor < GATEWAY.minor)) return false;
  // A key that is none: only whether there is an answer counts.
  const question = { key: 'AA==', limit: '1', keys_only: true, serializable: true };
  return isThere(() => client.post('/v3/kv/range', question, asking));
}

async function isThere(ask: () => Promise<unknown>): Promise<boolean> {
  try {
    await ask();
    return true;
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
    if (error.code === NO_API) return false;
    // Whoever refuses is there.
    if (error.isRefusal || error.code === NO_KEY) return true;
    throw error;
  }
}
