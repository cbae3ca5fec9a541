// What is wrong is told with its place and key, in words that say what would be right.
import { describe, expect, it } from 'vitest';
import { problemsOf } from '../support/config.ts';

/** Keys below `services.web`, with a bad value, and what is said about it. */
const bad: [string, string, string][] = [
  ['listen', '70000', '70000: expected a port, address:port or the path of a unix socket'],
  ['listen', '"80x"', '"80x": expected a port, address:port or the path of a unix socket'],
  ['protocol', 'sctp', '"sctp": expected http, tcp or udp'],
  ['timeouts.idle_udp', '0s', '"0s": expected a duration'],
  ['health.query', 'a..b', '"a..b": expected a name of DNS'],
  ['health.query_type', 'ANY', '"ANY": expected A, NS, SOA, PTR, MX, TXT, AAAA or SRV'],
  ['balance', 'fastest', '"fastest": expected least-conn, round-robin, random, p2c, ewma, hash('],
  ['balance', 'hash(body)', '"hash(body)": expected least-conn'],
  ['slow_start', '10', '10: expected a duration such as 500ms, 10s or 1m30s'],
  ['slow_start', '-1s', '"-1s": expected a duration such as 500ms, 10s or 1m30s'],
  [
    'from.registry',
    'eureka',
    '"eureka": expected consul, etcd, docker, file, http, dns, zookeeper or static',
  ],
  ['from.accept', 'passing,well', '"passing,well": expected passing, warning, critical or'],
  ['health.path', 'health', '"health": expected a text that starts with /'],
  ['health.type', 'icmp', '"icmp": expected http, tcp, tls, redis'],
  ['health.method', 'POST', '"POST": expected GET, HEAD or OPTIONS'],
  ['health.interval', 'soon', '"soon": expected a duration'],
  ['health.rise', '0', '0: expected a whole number from 1 to 100'],
  ['health.fall', 'many', '"many": expected a whole number from 1 to 100'],
  ['health.port', '70000', '70000: expected a whole number from 0 to 65535'],
  ['health.status', '"600"', '"600": expected status codes such as 200, 200-399'],
  ['health.status', '399-200', '"399-200": expected status codes'],
  ['health.initial', 'maybe', '"maybe": expected up or down'],
  ['passive.consecutive_failures', '-1', '-1: '],
  ['passive.max_ejected', '150%', '"150%": expected a share such as 20% or 0.2'],
  ['passive.ejection', '1w', '"1w": expected a duration'],
  ['retry.attempts', '0', '0: '],
  ['retry.attempts', '2.5', '2.5: '],
  ['retry.on', 'connect,panic', "'panic': expected connect, reset, timeout, bad-response"],
  ['retry.on', '[200]', "'200': expected connect, reset, timeout, bad-response"],
  ['retry.budget', '2', '2: expected a share'],
  ['retry.body', '1TB', '"1TB": expected a size such as 512, 32KiB or 2MB'],
  ['timeouts.connect', '5', '5: expected a duration'],
  ['limits.connections', '0', '0: '],
  ['limits.header_bytes', 'big', '"big": expected a size'],
  ['limits.queue', '-5', '-5: expected a whole number from 0 to 1000000'],
  ['limits.queue', 'true', 'true: expected a whole number from 0 to 1000000'],
  ['limits.queue', '""', '"": expected a whole number from 0 to 1000000'],
  ['limits.queue', '1.5', '1.5: expected a whole number from 0 to 1000000'],
  ['limits.per_endpoint', 'null', 'null: expected a whole number from 0 to 1000000'],
  ['limits.header_count', '1001', '1001: expected a whole number from 1 to 1000'],
  ['limits.queue_timeout', '60d', '"60d": expected a duration'],
  ['limits.target_bytes', '-1', '-1: expected a size'],
  ['limits.keep_alive_requests', '[]', '[]: expected a whole number'],
  ['limits.idle_upstream', 'x', '"x": expected a whole number from 0 to 100000'],
  ['limits.idle_upstream_time', '1', '1: expected a duration'],
  ['limits.body', '1k', '"1k": expected a size'],
  [
    'timeouts.response',
    '0s',
    '"0s": expected a duration such as 500ms, 10s or 1m30s, 1ms at least',
  ],
  ['timeouts.idle', '-1s', '"-1s": expected a duration'],
  ['timeouts.client_header', 'x', '"x": expected a duration'],
  ['timeouts.keep_alive', '0s', '"0s": expected a duration'],
  [
    'health.interval',
    '0s',
    '"0s": expected a duration such as 500ms, 10s or 1m30s, 100ms at least',
  ],
  ['health.timeout', '0s', '"0s": expected a duration'],
  ['health.host', '5', '5: expected a text: put it in quotes'],
  ['retry.budget_min', '-1', '-1: expected a whole number from 0 to 100000'],
  ['from.service', '""', '"": expected a text that is not empty'],
  ['from.tag', '1.0', '1: expected a text: put it in quotes'],
  ['from.datacenter', '[dc1]', '["dc1"]: expected a text'],
  ['from.filter', 'true', 'true: expected a text: put it in quotes'],
  ['from.namespace', '1', '1: expected a text: put it in quotes'],
  ['from.partition', '1', '1: expected a text: put it in quotes'],
  ['from.peer', '1', '1: expected a text: put it in quotes'],
  ['http.server', '1', '1: expected a text: put it in quotes'],
  ['http.forwarded', '1', '1: expected true or false'],
  ['http.request_id', 'yes', '"yes": expected true, false or keep'],
  ['http.trusted_proxies', '10.0.0.0/33', '"10.0.0.0/33": expected an address or a network'],
  ['http.trusted_proxies', '["::1/129"]', '"::1/129": expected an address or a network'],
  ['http.trusted_proxies', '[999.1.1.1]', '"999.1.1.1": expected an address or a network'],
  ['http.trusted_proxies', '[10.0.0.0/40]', 'expected an address or a network such as 10.0.0.0/8'],
  // A zone would not be looked at: the address would be trusted on every interface.
  ['http.trusted_proxies', '["fe80::1%eth0"]', '"fe80::1%eth0": expected an address or a network'],
  ['http.trusted_proxies', '["fe80::1%eth0/64"]', '"fe80::1%eth0/64": expected an address'],
  ['http.trusted_proxies', '[home]', 'expected an address or a network such as 10.0.0.0/8'],
  ['http.via', 'perhaps', '"perhaps": expected true or false'],
  ['http.request_headers', '{ "a b": c }', '"a b": expected a field name'],
  ['http.response_headers', '{ a: "x\\ny" }', 'expected a field value'],
];

/** A file with the key alone, each part on a line of its own, and where its value stands. */
function fileWith(key: string, value: string): { text: string; line: number; column: number } {
  const parts = ['services', 'web', ...key.split('.')];
  const lines = parts.map((part, depth) => `${'  '.repeat(depth)}${part}:`);
  const last = lines.at(-1)!;
  const text = `${lines.join('\n')} ${value}\n`;
  return { text, line: lines.length, column: last.length + 2 };
}

describe('a bad value', () => {
  it.each(bad)('%s: %s', (key, value, message) => {
    const { text, line, column } = fileWith(key, value);
    const [first, ...others] = problemsOf({ file: text });
    expect(others).toEqual([]);
    const isInside = /^[[{]/.test(value);
    const place = /^upriver\.yaml:(\d+):(\d+): services\.web\.([\w.-]+)[^:]*: (.*)$/.exec(first!);
    expect(place, first).not.toBeNull();
    const [, atLine, atColumn, atKey, said] = place!;
    expect(said).toContain(message);
    expect(atKey!.startsWith(key.replace(/ .*/, ''))).toBe(true);
    expect(Number(atLine)).toBe(line);
    if (isInside) expect(Number(atColumn)).toBeGreaterThanOrEqual(column);
    else expect(Number(atColumn)).toBe(column);
    expect(said, 'nothing of the library shines through').not.toMatch(/Invalid input|\bzod\b/i);
  });

  const elsewhere: [string, string][] = [
    ['workers: 0', 'upriver.yaml:1:10: workers: 0: '],
    ['log: { level: loud }', 'upriver.yaml:1:15: log.level: "loud": '],
    ['stats: { listen: nowhere }', 'upriver.yaml:1:18: stats.listen: "nowhere": expected a port'],
    ['guard: { enabled: 2 }', 'upriver.yaml:1:19: guard.enabled: 2: '],
    ['shutdown: { grace: 1 }', 'upriver.yaml:1:20: shutdown.grace: 1: expected a duration'],
    [
      'static: { web: [10.0.0.1] }',
      'upriver.yaml:1:17: static.web.0: "10.0.0.1": expected host:port',
    ],
    ['static: { web: 10.0.0.1:80 }', 'upriver.yaml:1:16: static.web: "10.0.0.1:80": '],
    [
      'services: { "a b": {} }',
      'upriver.yaml:1:13: services.a b: "a b": expected a name without white space or slash',
    ],
    ['services: [web]', 'upriver.yaml:1:11: services: '],
    ['registries: { consul: { wait: 5 } }', 'upriver.yaml:1:31: registries.consul.wait: 5: '],
    [
      'routers: [{ listen: 80, routes: [{ path: x, service: a }] }]',
      'upriver.yaml:1:42: routers.0.routes.0.path: "x": ',
    ],
    ['routers: [{ routes: [] }]', 'upriver.yaml:1:11: routers.0.listen: is missing'],
    [
      'services: { web: { listen: [ [] ] } }',
      'upriver.yaml:1:30: services.web.listen.0: []: expected a port',
    ],
    ['services: { web: 80 }', 'upriver.yaml:1:18: services.web: 80: expected a map'],
    ['workers: true', 'upriver.yaml:1:10: workers: true: expected a whole number from 1 to 256'],
    ['workers: !many 2', 'upriver.yaml:1:10: Unresolved tag: !many'],
    ['a: 1\n---\nb: 2', 'upriver.yaml:2:1: expected one document'],
    ['guard: { hold: x }', 'upriver.yaml:1:16: guard.hold: "x": expected a duration'],
    ['log: { format: xml }', 'upriver.yaml:1:16: log.format: "xml": expected json or pretty'],
    ['log: { access: 1 }', 'upriver.yaml:1:16: log.access: 1: expected a text: put it in quotes'],
    ['stats: { listen: [] }', 'upriver.yaml:1:18: stats.listen: []: expected a port'],
    ['routers: {}', 'upriver.yaml:1:10: routers: {}: expected a list'],
    ['guard: 1', 'upriver.yaml:1:8: guard: 1: expected a map'],
    [
      'registries: { consul: { address: "ftp://x" } }',
      'upriver.yaml:1:34: registries.consul.address: "ftp://x": expected host:port, http://',
    ],
    [
      'registries: { consul: { address: ["a:1", "b c:2"] } }',
      'upriver.yaml:1:42: registries.consul.address.1: "b c:2": expected host:port',
    ],
    [
      'registries: { consul: { address: "http://a:1/v1" } }',
      'upriver.yaml:1:34: registries.consul.address: "http://a:1/v1": expected host:port',
    ],
    [
      'registries: { consul: { wait: 30m } }',
      'upriver.yaml:1:31: registries.consul.wait: "30m": expected a duration such as 500ms, 10s or 1m30s, 1s at least, 10m at most',
    ],
    [
      'registries: { consul: { stale: 1 } }',
      'upriver.yaml:1:32: registries.consul.stale: 1: expected true or false',
    ],
    [
      'registries: { consul: { tls: { verify: x } } }',
      'upriver.yaml:1:40: registries.consul.tls.verify: "x": expected true or false',
    ],
    [
      'registries: { consul: { tag_prefix: "" } }',
      'upriver.yaml:1:37: registries.consul.tag_prefix: "": expected a text that is not empty',
    ],
    [
      "routers: [{ listen: 80, routes: [{ redirect: { status: 200, location: 'https://b/' } }] }]",
      'upriver.yaml:1:56: routers.0.routes.0.redirect.status: 200: expected 301, 302, 303, 307 or 308',
    ],
    [
      'routers: [{ listen: 80, routes: [{ redirect: { status: 302 } }] }]',
      'upriver.yaml:1:46: routers.0.routes.0.redirect.location: is missing: expected a text',
    ],
    [
      'services: { web: { timeouts: { idle: [] } } }',
      'upriver.yaml:1:38: services.web.timeouts.idle: []: expected a duration',
    ],
  ];
  it.each(elsewhere)('%s', (file, start) => {
    const problems = problemsOf({ file });
    expect(problems).toHaveLength(1);
    expect(problems[0]!.slice(0, start.length), problems[0]).toBe(start);
  });

  it('that is secret is not shown', () => {
    const told = [
      ...problemsOf({ file: 'registries: { consul: { token: [s3cret] } }' }),
      ...problemsOf({ file: 'registries: { consul: { http_auth: { s3cret: 1 } } }' }),
      ...problemsOf({ file: 'stats: { admin_token: [s3cret] }' }),
      ...problemsOf({ flags: { consul: ['ftp://me:s3cret@a:1'] } }),
    ];
    expect(told).toHaveLength(4);
    expect(told.join('\n')).not.toContain('s3cret');
  });

  it('of one layer is not blamed on another', () => {
    const file = 'services:\n  web: { balance: fastest }\n  api: { listen: x }\n';
    const given = { file, flags: { service: ['web=81'] }, env: { SERVICE: 'simple' } };
    expect(problemsOf(given).map((text) => text.split(': ')[0])).toEqual([
      'upriver.yaml:2:19',
      'upriver.yaml:3:18',
    ]);
  });

  it('from elsewhere than the file is told with its flag or variable', () => {
    expect(problemsOf({ flags: { workers: 'x' } })[0]).toMatch(/^--workers: workers: "x": /);
    expect(problemsOf({ flags: { service: ['web=http'] } })[0]).toMatch(
      /^--service: services\.web\.listen: "http": expected a port/,
    );
    expect(problemsOf({ env: { UPRIVER_LOG_LEVEL: 'x' } })[0]).toMatch(
      /^UPRIVER_LOG_LEVEL: log\.level: "x": /,
    );
    expect(problemsOf({ kv: 'services: { web: { listen: x } }' })[0]).toMatch(
      /^kv upriver\/config:1:28: services\.web\.listen: "x": /,
    );
  });
});

describe('an unknown key', () => {
  it.each([
    ['servics: {}', 'upriver.yaml:1:1: servics: unknown key; did you mean services?'],
    [
      'services: { web: { listn: 80 } }',
      'upriver.yaml:1:20: services.web.listn: unknown key; did you mean listen?',
    ],
    [
      'services: { web: { health: { intervall: 2s } } }',
      'upriver.yaml:1:30: services.web.health.intervall: unknown key; did you mean interval?',
    ],
    [
      'routers: [{ listen: 80, routes: [{ pth: /, service: a }] }]',
      'upriver.yaml:1:36: routers.0.routes.0.pth: unknown key; did you mean path?',
    ],
    [
      'guard: { zebra: 1 }',
      'upriver.yaml:1:10: guard.zebra: unknown key; known are enabled, hold, max_removed',
    ],
  ])('%s', (file, message) => {
    expect(problemsOf({ file })).toEqual([message]);
  });

  it('of a flag is told with the flag', () => {
    expect(problemsOf({ flags: { service: ['web=80,balanc=p2c'] } })).toEqual([
      '--service: services.web.balanc: unknown key; did you mean balance?',
    ]);
  });
});

describe('problems', () => {
  it('are told all at once, in the order of the file', () => {
    const file = [
      'services:',
      '  web:',
      '    listen: 99999',
      '    balanc: p2c',
      '    health: { interval: 5, path: x }',
      'log: { level: loud }',
    ].join('\n');
    const places = problemsOf({ file }).map((text) => /^upriver\.yaml:(\d+)/.exec(text)?.[1]);
    expect([...places].sort()).toEqual(['3', '4', '5', '5', '6']);
  });

  it('of two that want one port name both', () => {
    const file = 'services:\n  a: { listen: 80 }\n  b: { listen: [81, 80] }\n';
    expect(problemsOf({ file })).toEqual([
      'upriver.yaml:3:16: services.b.listen: :80 is already the listener of service a (upriver.yaml:2:16)',
    ]);
  });

  it.each([
    ['[::]:80', '80'],
    ['0.0.0.0:80', '[::0]:80'],
    ['"[::1]:80"', '"[0:0:0::1]:80"'],
    ['/run/a.sock', '/run/a.sock'],
  ])('of %s and %s, which are one address', (a, b) => {
    const quoted = (text: string) => JSON.stringify(text.replaceAll('"', ''));
    const file = `services: { a: { listen: ${quoted(a)} }, b: { listen: ${quoted(b)} } }`;
    expect(problemsOf({ file })).toEqual([
      expect.stringContaining('is already the listener of service a (upriver.yaml:1:26)'),
    ]);
  });

  it('of one address and all addresses are none: the narrower one goes first', () => {
    const file = 'services: { a: { listen: 80 }, b: { listen: "127.0.0.1:80" } }';
    expect(problemsOf({ file })).toEqual([]);
    const stats = 'stats: { listen: "127.0.0.1:80" }\nservices: { a: { listen: 80 } }';
    expect(problemsOf({ file: stats })).toEqual([
      'upriver.yaml:1:18: stats.listen: 127.0.0.1:80 is already the listener of service a (upriver.yaml:2:26)',
    ]);
  });

  it.each([
    [
      'services: { a: { protocol: tcp, balance: hash(cookie:id) } }',
      'upriver.yaml:1:42: services.a.balance: a tcp service has no cookie: expected hash(source)',
    ],
    [
      'services: { a: { from: { registry: static } } }',
      'upriver.yaml:1:36: services.a.from.registry: there are no static endpoints of that name: expected static.a',
    ],
    [
      'routers: [{ listen: 80, routes: [{ path: / }] }]',
      'upriver.yaml:1:34: routers.0.routes.0.service: is missing: expected the name of a service, or a redirect',
    ],
    [
      "routers: [{ listen: 80, routes: [{ service: a, redirect: { location: 'https://b/' } }] }]",
      'upriver.yaml:1:45: routers.0.routes.0.service: a route leads to a service or redirects, not both',
    ],
    [
      'services: { a: { protocol: tcp } }\nrouters: [{ listen: 80, routes: [{ service: a }] }]',
      'upriver.yaml:2:45: routers.0.routes.0.service: a is a tcp service: routes need http',
    ],
    [
      'static: { api: [a:1] }\nservices: { api: {} }\nrouters: [{ listen: 80, routes: [{ service: apu }] }]',
      'upriver.yaml:3:45: routers.0.routes.0.service: there is no service apu; did you mean api?',
    ],
  ])('%s', (file, message) => {
    expect(problemsOf({ file })).toEqual([message]);
  });

  it('of a route to a service that may still describe itself are none', () => {
    expect(problemsOf({ file: 'routers: [{ listen: 80, routes: [{ service: a }] }]' })).toEqual([]);
  });

  it('of a router and the stats port that want one port name both', () => {
    const file = 'services:\n  a: { listen: 1936 }\nrouters:\n  - { listen: 90, routes: [] }\n';
    expect(problemsOf({ file })).toEqual([
      expect.stringMatching(/^\S+: stats\.listen: :1936 is already the listener of service a \(/),
    ]);
    const routers = 'services: { a: { listen: 90 } }\nrouters: [{ listen: 90, routes: [] }]';
    expect(problemsOf({ file: routers })[0]).toContain('already the listener of router 0');
  });

  it('of the text itself are told with their line', () => {
    expect(problemsOf({ file: 'services:\n  web: [\n' })[0]).toMatch(/^upriver\.yaml:\d+:\d+: /);
    expect(problemsOf({ file: 'a: 1\na: 2\n' })[0]).toMatch(/^upriver\.yaml:2:1: .*unique/);
    expect(problemsOf({ file: '- a\n- b\n' })).toEqual([
      'upriver.yaml:1:1: expected a map of settings',
    ]);
    const bomb = ['a: &a [x, x, x, x, x, x, x, x, x]'];
    for (const [at, name] of [...'bcd'].entries()) {
      bomb.push(`${name}: &${name} [${Array(9).fill(`*${'abc'[at]}`).join(', ')}]`);
    }
    expect(problemsOf({ file: bomb.join('\n') })[0]).toContain('Excessive alias count');
    expect(problemsOf({ file: '__proto__: { workers: 1 }' })[0]).toContain('unknown key');
    expect(problemsOf({ file: 'services: *nothing\n' })[0]).toMatch(
      /^upriver\.yaml:1:11: the anchor nothing is not known/,
    );
  });

  it('of etcd are told by its variable', () => {
    expect(problemsOf({ env: { ETCD_HOST: '10.0.0.1/x' } })[0]).toMatch(
      /^ETCD_HOST: registries\.etcd\.address\.0: "10\.0\.0\.1\/x:4001": expected host:port/,
    );
  });
});
