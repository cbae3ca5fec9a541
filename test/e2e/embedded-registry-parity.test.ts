// The embedded registry answers as Consul does, request by request: a script gets the same answers
// from a real dev agent, the values of indexes and generated ids set aside. What takes time (blocking
// queries, checks) is in suites/consul-api, which runs over both.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/prng.ts';
import { createEmbeddedRegistry } from '../../src/dev/embedded-registry.ts';
import { hasConsul, startConsul } from '../support/consul.ts';

const NODE = 'twin';

interface Registry {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

async function startReal(): Promise<Registry> {
  const agent = await startConsul({ node: NODE });
  return { url: agent.url, stop: () => agent.stop() };
}

async function startEmbedded(): Promise<Registry> {
  const options = { clock: systemClock, random: seededRandom(1), node: NODE };
  const registry = createEmbeddedRegistry(options);
  const { url } = await registry.listen('127.0.0.1', 0);
  return { url, stop: () => registry.close() };
}

/** `METHOD path [body]`; each runs on what those before it left behind. */
const script = [
  'GET /v1',
  'GET /v1/health',
  'OPTIONS /v1/agent/services',
  'DELETE /v1/agent/services',
  'PUT /v1/kv//double x',
  'PUT /v1/agent/service/register {"Name":"web","ID":"w1","Address":"10.0.0.1","Port":81,"Tags":["b","a"],"Meta":{"k":"v"},"Weights":{"Passing":5,"Warning":2},"Check":{"TTL":"1h","Notes":"n"}}',
  'PUT /v1/agent/service/register {"name":"web","id":"w2","port":82,"checks":[{"ttl":"1h","status":"passing"},{"name":"own","checkid":"mine","ttl":"1h"}]}',
  'PUT /v1/agent/service/register {"Name":"six","Address":"::1","Port":83}',
  'PUT /v1/agent/service/register {"Name":"named","Address":"web.example","Port":84,"EnableTagOverride":true}',
  'PUT /v1/agent/service/register {"Name":"bare"}',
  'GET /v1/agent/services',
  'GET /v1/agent/checks',
  'GET /v1/health/service/web',
  'GET /v1/health/service/web?passing',
  'GET /v1/health/service/web?passing=1&tag=a',
  'GET /v1/health/service/six',
  'GET /v1/health/service/named',
  'GET /v1/health/service/bare',
  'GET /v1/health/checks/web',
  `GET /v1/health/node/${NODE}`,
  'GET /v1/health/state/passing',
  'GET /v1/health/state/nonsense',
  'GET /v1/catalog/service/web',
  'GET /v1/catalog/service/bare',
  'GET /v1/catalog/service/none',
  'GET /v1/catalog/services',
  'GET /v1/catalog/nodes',
  'GET /v1/catalog/datacenters',
  'PUT /v1/agent/check/pass/service:w1?note=fine',
  'PUT /v1/agent/check/warn/mine?note=hm',
  'PUT /v1/agent/check/pass/none',
  'PUT /v1/agent/check/update/mine {"Status":"passing","Output":"well"}',
  'PUT /v1/agent/check/update/mine {"Status":"ill"}',
  'GET /v1/agent/checks?filter=Status==passing',
  'PUT /v1/agent/service/maintenance/w1',
  'PUT /v1/agent/service/maintenance/w1?enable=x',
  'PUT /v1/agent/service/maintenance/none?enable=true',
  'PUT /v1/agent/service/maintenance/w1?enable=true',
  'PUT /v1/agent/service/maintenance/w1?enable=true&reason=late',
  'GET /v1/health/service/web',
  'PUT /v1/agent/service/maintenance/w1?enable=false',
  'PUT /v1/agent/maintenance?enable=true&reason=moving',
  'GET /v1/health/state/critical',
  'PUT /v1/agent/maintenance?enable=false',
  'PUT /v1/agent/check/register {"Name":"x"}',
  'PUT /v1/agent/check/register {"Name":"disk","TTL":"1h"}',
  'PUT /v1/agent/check/register {"Name":"y","TTL":"1h","ServiceID":"nope"}',
  'PUT /v1/agent/check/deregister/disk',
  'PUT /v1/agent/check/deregister/none',
  'PUT /v1/agent/service/deregister/none',
  'PUT /v1/agent/service/deregister/',
  'PUT /v1/agent/service/deregister/w2',
  'GET /v1/health/service/web',
  'GET /v1/agent/checks',
  'PUT /v1/catalog/register {"Node":"far","Address":"far.example"}',
  'PUT /v1/catalog/register {"Node":"far","Address":"far.example","NodeMeta":{"a":"b"},"Service":{"Service":"ext","Port":99,"Tags":["t"]},"Check":{"Name":"seen","Status":"passing","ServiceID":"ext"}}',
  'PUT /v1/catalog/register {"Node":"far","Address":"far.example","Service":{"ID":"x"}}',
  'PUT /v1/catalog/register {"Node":"far","Address":"far.example","Check":{"Name":"z","ServiceID":"nope","Status":"passing"}}',
  'PUT /v1/catalog/register {"Node":"far"}',
  'PUT /v1/catalog/register {}',
  'GET /v1/health/service/ext',
  'GET /v1/catalog/service/ext',
  'GET /v1/catalog/nodes',
  'GET /v1/health/node/far',
  'PUT /v1/catalog/deregister {}',
  'PUT /v1/catalog/deregister {"Node":"far","ServiceID":"nope"}',
  'PUT /v1/catalog/deregister {"Node":"far"}',
  'PUT /v1/catalog/deregister {"Node":"nope"}',
  'GET /v1/catalog/service/ext',
  'GET /v1/kv/none',
  'GET /v1/kv/?keys',
  'PUT /v1/kv/a/b hello',
  'PUT /v1/kv/a/c?flags=42',
  'PUT /v1/kv/a/c?flags=-1',
  'PUT /v1/kv/a/d/e?cas=0 one',
  'PUT /v1/kv/a/d/e?cas=0 two',
  'PUT /v1/kv/a/d/e?cas=x two',
  'GET /v1/kv/a/b',
  'GET /v1/kv/a/b?raw',
  'GET /v1/kv/a?recurse',
  'GET /v1/kv/?keys',
  'GET /v1/kv/?keys&separator=/',
  'GET /v1/kv/a/?keys&separator=/',
  'DELETE /v1/kv/a/b?cas=1',
  'DELETE /v1/kv/a/b',
  'GET /v1/kv/a/b',
  'DELETE /v1/kv/?recurse&cas=1',
  'DELETE /v1/kv/a/?recurse',
  'GET /v1/kv/a?keys',
  'DELETE /v1/kv/',
  'PUT /v1/kv/ x',
  'GET /v1/health/service/web?dc=nope',
  'GET /v1/health/service/web?index=-1',
  'GET /v1/health/checks/',
  'GET /v1/health/node/',
  'GET /v1/health/state/',
] as const;

describe.skipIf(!hasConsul)('the embedded registry and Consul', () => {
  let real: Registry;
  let embedded: Registry;
  let isSameVersion = false;
  beforeAll(async () => {
    [real, embedded] = await Promise.all([startReal(), startEmbedded()]);
    const versionOf = async (registry: Registry) => {
      const response = await fetch(`${registry.url}/v1/agent/self`);
      // Consul's own shape.
      const self = (await response.json()) as { Config: { Version: string } };
      return self.Config.Version.split('+')[0];
    };
    isSameVersion = (await versionOf(real)) === (await versionOf(embedded));
  });
  afterAll(async () => {
    await Promise.all([real.stop(), embedded.stop()]);
  });

  it('answer the same, request by request', async ({ skip }) => {
    if (!isSameVersion) skip('another version of Consul words some answers otherwise');
    for (const line of script) {
      const got = await answer(embedded, line);
      // An agent answers before it has told the catalog: what it says of that is soon the same.
      if (line.startsWith('GET '))
        await expect.poll(() => answer(real, line), { message: line }).toEqual(got);
      else expect(await answer(real, line), line).toEqual(got);
    }
  });

  async function answer(registry: Registry, line: string): Promise<object> {
    const [method = '', path = '', ...rest] = line.split(' ');
    const body = rest.length === 0 ? undefined : rest.join(' ');
    const plainly = told(await tell(registry, method, path, body));
    // Tags of a name are a set: Consul lists them in no order.
    const isSet = path === '/v1/catalog/services';
    return { ...plainly, body: isSet ? sorted(plainly.body) : plainly.body };
  }

  async function tell(registry: Registry, method: string, path: string, body?: string) {
    const response = await fetch(registry.url + path, {
      ...{ method, redirect: 'manual' },
      ...(body === undefined ? {} : { body }),
    });
    return { response, text: await response.text() };
  }
});

const HEADERS = [
  'allow',
  'location',
  'content-type',
  'x-consul-knownleader',
  'x-consul-lastcontact',
];

/** What of an answer has to be the same: not the numbers of indexes and of ports, nor ids. */
function told({ response, text }: { response: Response; text: string }) {
  const headers = Object.fromEntries(HEADERS.map((name) => [name, response.headers.get(name)]));
  const index = response.headers.get('x-consul-index');
  return {
    status: response.status,
    ...headers,
    index: index === null || index === '1' ? index : 'above 1',
    body: plain(text),
  };
}

function plain(text: string): unknown {
  try {
    return withoutNumbers(JSON.parse(text));
  } catch {
    return text;
  }
}

/** Sets the values of indexes and generated ids aside; that they are there stays. */
function withoutNumbers(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNumbers);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => {
      if (/^(?:Create|Modify)Index$/.test(key)) return [key, one === 0 ? 0 : 'above 0'];
      if (typeof one === 'string' && /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(one)) return [key, 'an id'];
      return [key, withoutNumbers(one)];
    }),
  );
}

function sorted(lists: unknown): unknown {
  return Object.entries(lists as Record<string, string[]>).map(([name, one]) => [
    name,
    [...one].sort(),
  ]);
}
