// Which settings take a path, a name of the environment or a URL from a registry: every key of the schema is
// tried by each way in which others may write settings, and what is taken is a list. A key that is new and
// takes one fails here until it is said what it means.
import { describe, expect, it } from 'vitest';
import { describeService } from '../../src/config/describe.ts';
import { configSchema } from '../../src/config/schema/config.ts';
import { ownRouteSchema } from '../../src/config/schema/router.ts';
import { serviceSchema } from '../../src/config/schema/service.ts';
import { knownKeys } from '../../src/config/shape.ts';
import { declaredCheck } from '../../src/discovery/declared-check.ts';
import { plainSource } from '../../src/model/source.ts';
import { load } from '../support/config.ts';

const MARK = 's3cr3t-place';
const PATH = `/${MARK}/x.pem`;
const VALUES = [PATH, MARK];

type Path = readonly string[];

/** The places of all values below a schema. Maps of any name have NAME, lists their first element. */
function leavesOf(root: unknown, path: Path = []): Path[] {
  const keys = knownKeys(path, root);
  if (keys.length === 0) return path.length === 0 ? [] : [path];
  return keys.flatMap((key) => leavesOf(root, [...path, key]));
}

const serviceLeaves = leavesOf(serviceSchema).map((path) => path.join('.'));
const routeLeaves = leavesOf(ownRouteSchema).map((path) => `route.${path.join('.')}`);
const BELOW_LISTS = [
  ...['address', 'tls', 'accept_proxy', 'tls.client_ca_file', 'tls.certificates'].map(
    (key) => `listen.${key}`,
  ),
  ...['cert_file', 'key_file', 'dir', 'acme.dir', 'acme.ca_file', 'acme.eab.key_file'].map(
    (key) => `listen.tls.certificates.0.${key}`,
  ),
  ...['password', 'password_file'].map((key) => `health.${key}`),
];

/** Those by which a text of ours gets into the service; the rest of it is made of other settings. */
function taken(keys: readonly string[], more: Readonly<Record<string, string>> = {}): string[] {
  return keys.filter((key) =>
    VALUES.some((value) => {
      const { service } = describeService(plainSource('consul', 'web'), {
        ...{ listen: '8000', ...more },
        [key]: value,
      });
      return JSON.stringify(service).includes(MARK);
    }),
  );
}

it('has every key', () => {
  expect(serviceLeaves.length).toBeGreaterThan(100);
  for (const key of ['upstream.tls.ca_file', 'upstream.tls.key_file', 'health.password_file']) {
    expect(serviceLeaves).toContain(key);
  }
});

describe('tags, labels and keys of a registry', () => {
  it('set paths and names of HTTP alone', () => {
    const keys = [...serviceLeaves, ...BELOW_LISTS];
    const tls = { 'upstream.tls.enabled': 'true' };
    const found = new Set([...taken(keys), ...taken(keys, tls)]);
    expect([...found].sort()).toEqual([
      'health.database',
      'health.expect',
      'health.grpc_service',
      'health.host',
      'health.path',
      'health.query',
      'health.send',
      'health.user',
      'http.server',
      'upstream.host',
      'upstream.tls.server_name',
    ]);
  });

  it('set paths and hosts of a route alone', () => {
    expect(taken(routeLeaves, { 'route.listen': '8080', 'route.path': '/' }).sort()).toEqual([
      'route.host',
      'route.path',
      'route.prefix',
      'route.strip',
    ]);
  });

  it('read nothing of the environment', () => {
    const variable = '$'.concat('{HOME}');
    for (const key of [...serviceLeaves, ...routeLeaves, 'http.request_headers.X-A']) {
      const settings = { listen: '8000', [key]: variable };
      const { service } = describeService(plainSource('consul', 'web'), settings);
      expect(JSON.stringify(service)).not.toContain(process.env.HOME);
    }
  });
});

it('an overlay sets no path of this machine, and no credential', () => {
  const leaves = leavesOf(configSchema).map((path) => path.join('.'));
  const places = [
    ...leaves.filter((key) => !key.startsWith('services') && !key.startsWith('routers')),
    ...serviceLeaves.map((key) => `services.web.${key}`),
    ...BELOW_LISTS.map((key) => `services.web.${key}`),
    ...leavesOf(configSchema, ['routers', '0']).map((path) => path.join('.')),
    ...leavesOf(configSchema, ['routers', '0', 'routes', '0']).map((path) => path.join('.')),
  ];
  expect(places.length).toBeGreaterThan(250);
  const file = 'static: { web: ["127.0.0.1:1"] }\nservices: { web: { listen: 8000 } }';
  const found = places.filter((place) => {
    const { settings } = load({ file, kv: JSON.stringify(treeOf(place.split('.'), PATH)) });
    return JSON.stringify(settings).includes(MARK);
  });
  expect(found.filter((place) => !/^(services|routers)\./.test(place))).toEqual([]);
  expect(found.filter((place) => /(_file|\bdir|password|token|tls\b)/.test(place))).toEqual([]);
  // Paths and texts of HTTP, of checks, and names of services.
  expect(found.sort()).toEqual([
    'services.web.from.service',
    ...['database', 'expect', 'grpc_service', 'host', 'path', 'send', 'user'].map(
      (key) => `services.web.health.${key}`,
    ),
    'services.web.http.server',
  ]);
});

it('a check that an instance declares names no file and no other host', () => {
  const keys = [
    'check_http',
    'check_https',
    'check_tcp',
    'check_script',
    'check_cmd',
    'check_docker',
  ];
  const more = ['check_ca_file', 'check_http_host', 'check_http_header', 'check_password_file'];
  const found = [...keys, ...more].filter((key) =>
    VALUES.some((value) => JSON.stringify(declaredCheck({ [key]: value }).check).includes(MARK)),
  );
  // A path of the instance itself.
  expect(found).toEqual(['check_http', 'check_https']);
});

function treeOf([first = '', ...rest]: readonly string[], value: string): unknown {
  const inner = rest.length === 0 ? value : treeOf(rest, value);
  return first === '0' ? [inner] : { [first]: inner };
}
