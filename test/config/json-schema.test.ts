// The JSON Schema and the loader agree: what an editor marks is refused, and what it does not mark is
// taken, up to what only a parser can know.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { digitsPattern } from '../../src/config/forms.ts';
import { jsonSchema } from '../../src/config/json-schema.ts';
import { load } from '../support/config.ts';
import { isValid } from '../support/json-schema.ts';

const schema = jsonSchema();
/** A dollar is written as a section sign: what follows is no template of this file. */
const dollars = (text: string) => text.replaceAll('§', '$');

const env = { A: '8081', T: 'true', D: '10s', N: 'name' };

/** A configuration in which any one key can be changed without contradicting another. */
const base = () => ({
  registries: { consul: {} },
  static: { web: ['127.0.0.1:1'] },
  services: { web: { listen: 8080, health: {} }, api: {} },
  routers: [{ listen: 9090, routes: [{ host: 'a.test', service: 'api' }] }],
});

interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | boolean;
  readonly items?: Node;
}

/** Paths of all keys, in `base`'s names. */
function keysOf(node: Node, path: readonly string[] = []): string[][] {
  const { additionalProperties: others, items, properties = {} } = node;
  const below = Object.entries(properties).flatMap(([key, child]) => keysOf(child, [...path, key]));
  if (typeof others === 'object') below.push(...keysOf(others, [...path, 'web']));
  if (items?.properties !== undefined) below.push(...keysOf(items, [...path, '0']));
  return path.length === 0 ? below : [[...path], ...below];
}

const keys = keysOf(schema as Node);

/** `base` with this value at the key. */
function withValue(path: readonly string[], value: unknown): unknown {
  const root = base() as Record<string, unknown>;
  let at = root;
  for (const key of path.slice(0, -1)) {
    at[key] ??= {};
    at = at[key] as Record<string, unknown>;
  }
  const last = path.at(-1)!;
  at[last] = value;
  // By names in TLS alone routes a router that passes it on.
  if (last === 'sni' || last === 'alpn') {
    const router = (root.routers as { listen: unknown; routes: Record<string, unknown>[] }[])[0]!;
    router.listen = { address: 9090, tls: 'pass' };
    delete router.routes[0]!.host;
    router.routes[0]!.sni ??= 'a.test';
  }
  // A route has a service or a redirect, and a redirect has a location.
  if (path.includes('redirect')) {
    const route = (root.routers as { routes: Record<string, unknown>[] }[])[0]!.routes[0]!;
    delete route.service;
    route.path = '/old';
    if (path.at(-1) === 'status') at.location = 'https://b.test/';
  }
  return root;
}

function verdicts(data: unknown): { editor: boolean; loader: boolean; told: string } {
  // As the loader reads it: what YAML makes of the text.
  const file = stringify(data);
  const { settings, problems } = load({ file, env });
  return {
    editor: isValid(schema, parse(file)),
    loader: settings !== null,
    told: problems.map(({ key, message }) => `${key}: ${message}`).join('\n'),
  };
}

const texts = [
  ...['', ' ', 'x', 'off', 'true', 'false', 'keep', 'web', 'static', 'api', '/', '/x', '*'],
  ...['0', '007', '5', '101', '70000', '-1', '1.5', '20%', '101%', '0.5', '1.0', '100.0%'],
  ...['5s', '10 s', '1m30s', '0s', '1w', '2h', 'soon', 'p95', '32KiB', '2MB', '1TB', '7B'],
  ...['leastconn', 'least-conn', 'hash(source)', 'hash(cookie:id)', 'hash(body)', 'passing'],
  ...['passing, critical', 'passing,', 'connect', 'connect, 502', '502', '200', '200-399,404'],
  ...[':80', '127.0.0.1:81', '[::1]:82', '/run/a.sock', 'a:0', 'a:99999', 'a:1 weight=3'],
  ...['10.0.0.0/8', '10.0.0.0/33', '::1/128', '999.1.1.1', 'http://a:1', 'https://a:1/', 'a:1/x'],
  ...['1024-65535', '*:80', '10.0.0.0/8:80-90', '[::1]:80', '/run/x/', '/run//x/', '..', 'a/./b'],
  ...['a.example.com', '*.example.com', 'a.*.com', 'a:b', 'GET', 'tcp', 'http', 'info', 'json'],
  ...['a b', 'a\r\nb', 'ü', '€', '%[src]', '{host}', '100%', 'https://b/x'],
  ...['§A', '§§A', '§§§A', '§§§§A', '§5', '§host', 'https://§host§path', '§hosts'].map(dollars),
  ...['§{A}', '§{T}', '§{D}', '§{N}', '§{NONE:-5}', '§{a.b}', '§§{A}', '§§§§{A}'].map(dollars),
];
const numbers = [0, 1, 2, 5, 0.2, 1.5, 30, 64, 80, 301, 502, 600, 1001, 70_000, -1, 1e9, 1e12];
const others = [true, false, null, [], {}, ['x'], [80], ['502', 503], ['passing'], { a: 'b' }];

/** What a variable stands for is the environment's to say, and how large a number the parser's. */
function isParsersToSay(value: unknown): boolean {
  return typeof value === 'string' && value.includes(dollars('§{'));
}

/** About more than one value, or how large it is. */
const BEYOND =
  /at least|at most|there is no token|already the listener|take it out|expected the name of a service|both, or neither|together|cert_file and key_file|needs the CA|h2 needs tls|is without TLS/;

describe('the JSON Schema', () => {
  it('takes the example, the base of these tests, and what a map may be written as', () => {
    const example = readFileSync(join(import.meta.dirname, '../../config.example.yaml'), 'utf8');
    expect(isValid(schema, parse(example))).toBe(true);
    expect(verdicts(base())).toMatchObject({ editor: true, loader: true, told: '' });
    const empty = parse('services: { a: , b: { health: } }\nrouters:\nlog:\n');
    expect(verdicts(empty)).toMatchObject({ editor: true, loader: true });
  });

  it('says of any value of any key what the loader says', () => {
    expect(keys.length).toBeGreaterThan(100);
    const values = fc.constantFrom<unknown>(...texts, ...numbers, ...others);
    fc.assert(
      fc.property(fc.constantFrom(...keys), values, (path, value) => {
        const { editor, loader, told } = verdicts(withValue(path, value));
        const what = `${path.join('.')}: ${JSON.stringify(value)}: ${told}`;
        if (loader) expect(editor, what).toBe(true);
        else if (!isParsersToSay(value) && !BEYOND.test(told)) expect(editor, what).toBe(false);
      }),
      { numRuns: 400 },
    );
  }, 60_000);

  it.each([
    ['services.web.balance', 'leastconn', false],
    ['services.web.slow_start', 30, false],
    ['services.web.http.via', dollars('§{T}'), true],
    ['services.web.limits.queue', dollars('§{A}'), true],
    ['workers', '4', true],
    ['workers', 4.5, false],
    ['stats.listen', 'off', true],
    ['stats.hosts', ['lb.example.com', '*.example.com'], true],
    ['stats.hosts', [80], false],
    ['registries.consul.listen_allow', ['80', '10.0.0.0/8:1024-65535', '/run/upriver/'], true],
    ['registries.consul.listen_allow', '/run//upriver/', false],
    ['registries.consul.listen_allow', '[fe80::1%eth0]:80', false],
    ['registries.consul.listen_allow', '010.0.0.0/8:80', false],
    ['registries.consul.kv_key', 'a/../b', false],
    ['registries.zookeeper.address', [80], false],
    ['registries.zookeeper.address', '2181', false],
    ['registries.zookeeper.address', '10.0.0.1:2181,zk2/chroot', true],
    ['services.web.http.request_id', 'keep', true],
    ['services.web.http.request_headers', { Host: 'a' }, false],
    ['services.web.http.request_headers', { 'X-A': '%[src]' }, false],
    ['services', { 'a b': {} }, false],
    ['services', { [dollars('§{N}')]: { listen: 1 } }, true],
    ['routers.0.routes.0.redirect', { location: dollars('https://§host§request_uri') }, true],
    ['routers.0.routes.0.redirect', { location: dollars('https://§hots') }, false],
  ] as const)('%s: %j', (key, value, isGood) => {
    const { editor, loader, told } = verdicts(withValue(key.split('.'), value));
    expect({ editor, loader }, told).toEqual({ editor: isGood, loader: isGood });
  });

  it.each([
    ['services.web.timeouts.connect', '60d', 'longer than a timer can wait'],
    ['registries.consul.wait', '30m', 'beyond its bounds'],
    ['services.web.health.status', '399-200', 'the wrong way round'],
    ['services.web.limits.body', '1.3KiB', 'no whole number of bytes'],
    ['services.web.http.trusted_proxies', '1:2:3', 'no IPv6 address'],
    ['registries.consul.address', 'http://a:99999', 'no URL'],
  ])('leaves it to the loader that %s: %s is %s', (key, value) => {
    const { editor, loader } = verdicts(withValue(key.split('.'), value));
    expect({ editor, loader }).toEqual({ editor: true, loader: false });
  });
});

describe('digits in bounds', () => {
  it('are those of the numbers between them', () => {
    const bounds = fc
      .tuple(fc.nat(120_000), fc.nat(120_000))
      .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
    fc.assert(
      fc.property(bounds, fc.nat(130_000), ([min, max], value) => {
        const pattern = new RegExp(`^(?:${digitsPattern(min, max)})$`, 'u');
        for (const one of [value, min, max, min - 1, max + 1].filter((number) => number >= 0)) {
          expect(pattern.test(String(one)), `${one} of ${min}-${max}`).toBe(
            one >= min && one <= max,
          );
        }
      }),
    );
  });
});
