// What is wrong is told with its place and key, in words that say what would be right.
import { describe, expect, it } from 'vitest';
import { problemsOf } from '../support/config.ts';

/** Keys below `services.web`, with a bad value, and what is said about it. */
const bad: [string, string, string][] = [
  ['listen', '70000', '70000: expected a port, address:port or the path of a unix socket'],
  ['listen', '"80x"', '"80x": expected a port, address:port or the path of a unix socket'],
  ['protocol', 'udp', '"udp": '],
  ['balance', 'fastest', '"fastest": expected least-conn, round-robin, random, p2c, ewma, hash('],
  ['balance', 'hash(body)', '"hash(body)": expected least-conn'],
  ['slow_start', '10', '10: expected a duration such as 500ms, 10s or 1m30s'],
  ['slow_start', '-1s', '"-1s": expected a duration such as 500ms, 10s or 1m30s'],
  ['from.registry', 'etcd', '"etcd": '],
  ['from.accept', 'passing,well', '"passing,well": expected some of passing, warning, critical'],
  ['health.path', 'health', '"health": '],
  ['health.type', 'grpc', '"grpc": '],
  ['health.method', 'POST', '"POST": '],
  ['health.interval', 'soon', '"soon": expected a duration'],
  ['health.rise', '0', '0: '],
  ['health.fall', 'many', '"many": '],
  ['health.port', '70000', '70000: '],
  ['health.status', '"600"', '"600": expected status codes such as 200, 200-399'],
  ['health.status', '399-200', '"399-200": expected status codes'],
  ['health.initial', 'maybe', '"maybe": '],
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
  ['limits.queue', '-5', '-5: '],
  ['http.trusted_proxies', '[10.0.0.0/40]', 'expected an address or a network such as 10.0.0.0/8'],
  ['http.trusted_proxies', '[home]', 'expected an address or a network such as 10.0.0.0/8'],
  ['http.via', 'perhaps', '"perhaps": '],
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
      'services: { web: { listen: { a: 1 } } }',
      'upriver.yaml:1:28: services.web.listen: {"a":1}: expected a port',
    ],
    ['services: { web: 80 }', 'upriver.yaml:1:18: services.web: 80: expected object'],
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

  it('from elsewhere than the file is told with its flag or variable', () => {
    expect(problemsOf({ flags: { workers: 'x' } })[0]).toMatch(/^--workers: workers: "x": /);
    expect(problemsOf({ flags: { service: ['web=http'] } })[0]).toMatch(
      /^--service: services\.web\.listen: "http": expected a port/,
    );
    expect(problemsOf({ env: { UPRIVER_LOG_LEVEL: 'x' } })[0]).toMatch(
      /^UPRIVER_LOG_LEVEL: log\.level: "x": /,
    );
    expect(problemsOf({ kv: 'workers: x' })[0]).toMatch(/^kv upriver\/config:1:10: workers: "x": /);
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
    ['guard: { zebra: 1 }', 'upriver.yaml:1:10: guard.zebra: unknown key; known are enabled, hold'],
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
    expect(problemsOf({ file: 'services: *nothing\n' })[0]).toMatch(
      /^upriver\.yaml:1:11: the anchor nothing is not known/,
    );
  });

  it('of etcd are told by its variable', () => {
    expect(problemsOf({ env: { ETCD_HOST: '10.0.0.1' } })[0]).toMatch(/^ETCD_HOST: etcd is not/);
  });
});
