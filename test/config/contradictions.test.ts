// What values that are right by themselves can get wrong together, and keys that belong elsewhere.
import { describe, expect, it } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { problemsOf, settingsOf } from '../support/config.ts';

/** A router on port 80 with these routes, one per line from line 4 on. */
const router = (...routes: string[]) =>
  `routers:\n  - listen: 80\n    routes:\n${routes.map((route) => `      - { ${route} }\n`).join('')}`;

/** A dollar is written as a section sign: what follows is no template of this file. */
const dollars = (text: string) => text.replaceAll('§', '$');

describe('a key of a listener', () => {
  const keys: [string, string][] = [
    ['limits', 'header_bytes: 1KiB'],
    ['limits', 'header_count: 5'],
    ['limits', 'target_bytes: 99'],
    ['limits', 'keep_alive_requests: 5'],
    ['limits', 'pipelined: 5'],
    ['timeouts', 'client_header: 1s'],
    ['timeouts', 'keep_alive: 1s'],
  ];

  it.each(keys)('%s.%s of a service behind a router is told where it belongs', (group, text) => {
    const [key] = text.split(':');
    const file = `services:\n  api: { ${group}: { ${text} } }\n${router('service: api')}`;
    expect(problemsOf({ file })).toEqual([
      expect.stringMatching(
        new RegExp(
          `^upriver\\.yaml:2:\\d+: services\\.api\\.${group}\\.${key}: is about a listener, and api ` +
            `has none of its own: set routers\\.0\\.${group}\\.${key} instead$`,
        ),
      ),
    ]);
    const own = file.replace('api: {', 'api: { listen: 90,');
    expect(problemsOf({ file: own }), 'with a listener of its own it applies there').toEqual([]);
    const there = `services: { api: {} }\n${router('service: api').replace('listen: 80', `listen: 80\n    ${group}: { ${text} }`)}`;
    expect(problemsOf({ file: there })).toEqual([]);
  });

  it('of a tcp service is told to be about HTTP, as its http is', () => {
    const file =
      'services: { db: { listen: 1, protocol: tcp, limits: { pipelined: 1 }, http: { via: true }, tunnels: { on_down: close } } }';
    expect(problemsOf({ file })).toEqual([
      'upriver.yaml:1:66: services.db.limits.pipelined: is about HTTP, and this is a tcp service: take it out',
      'upriver.yaml:1:77: services.db.http: is about HTTP, and this is a tcp service: take it out',
      'upriver.yaml:1:101: services.db.tunnels: is about HTTP, and this is a tcp service: take it out',
    ]);
  });

  it('of a udp service is told to be about something else', () => {
    const udp = (text: string) =>
      problemsOf({ file: `services: { d: { listen: 1, protocol: udp, ${text} } }` });
    const http = 'is about HTTP, and this is a udp service: take it out';
    const connections = 'is about connections, and this is a udp service: take it out';
    expect(udp('http: { via: true }')[0]).toContain(`services.d.http: ${http}`);
    expect(udp('tunnels: { on_down: keep }')[0]).toContain(`services.d.tunnels: ${http}`);
    expect(udp('tcp: { on_down: keep }')[0]).toContain(`services.d.tcp: ${connections}`);
    expect(udp('upstream: { tls: { enabled: true } }')[0]).toContain(
      `services.d.upstream: ${connections}`,
    );
    expect(udp('timeouts: { connect: 1s }')[0]).toContain(
      `services.d.timeouts.connect: ${connections}`,
    );
    expect(udp('balance: hash(header:x)')[0]).toContain('a udp service has no header');
    expect(
      problemsOf({ file: 'services: { d: { listen: 1, udp: { responses: 1 } } }' })[0],
    ).toContain('services.d.udp: is about datagrams, and this is a http service: take it out');
  });

  it.each([
    ['responses: -1', 'udp.responses: -1: expected a whole number from 0 to 1000000'],
    ['responses: some', 'udp.responses: "some": expected any, or a number from 0'],
    ['on_down: now', 'udp.on_down: "now": expected keep, close or a duration'],
    ['rate_per_client: -1', 'udp.rate_per_client: -1: expected a whole number'],
    ['amplification: -1', 'udp.amplification: -1: expected a whole number'],
  ])('of a udp service with a bad value is told: %s', (text, message) => {
    const file = `services: { d: { listen: 1, protocol: udp, udp: { ${text} } } }`;
    expect(problemsOf({ file }).join()).toContain(message);
  });

  it.each([
    ['address: ":1", tls: true', 'tls is about connections, and this is a udp service'],
    ['address: ":1", http2: true', 'http2 is about connections'],
    ['address: ":1", redirect_https: true', 'redirect_https is about connections'],
    ['address: ":1", accept_proxy: [10.0.0.0/8]', 'accept_proxy is about connections'],
    ['address: /run/x.sock', 'expected a port or address:port: this is a udp service'],
  ])('of a listener of datagrams is told to be about connections: %s', (listen, message) => {
    const file = `services: { d: { listen: { ${listen} }, protocol: udp } }`;
    expect(problemsOf({ file }).join()).toContain(message);
  });

  it('of TCP and UDP on the same port is two listeners', () => {
    const two = (protocol: string) =>
      problemsOf({
        file: `services: { a: { listen: 53, protocol: tcp }, b: { listen: 53, protocol: ${protocol} } }`,
      });
    expect(two('udp')).toEqual([]);
    expect(two('tcp')[0]).toContain(':53 is already the listener of service a');
    const same =
      'services: { a: { listen: 53, protocol: udp }, b: { listen: "[::]:53", protocol: udp } }';
    expect(problemsOf({ file: same })[0]).toContain(':53/udp is already the listener of service a');
    expect(problemsOf({ file: 'services: { a: { listen: 1936, protocol: udp } }' })).toEqual([]);
  });

  it('is what the router says', () => {
    const file =
      'services: { a: {} }\nrouters: [{ listen: 80, limits: { header_bytes: 1KiB, pipelined: 3 }, ' +
      'timeouts: { keep_alive: 5s, idle_body: 7s }, routes: [{ service: a }] }]';
    expect(settingsOf({ file }).routers[0]).toMatchObject({
      limits: { headerBytes: 1024, headerCount: 100, pipelined: 3 },
      timeouts: { keepAliveMs: 5000, idleBodyMs: 7000, clientHeaderMs: 10_000 },
    });
  });
});

describe('two routes', () => {
  it('for the same host and path are told with both places', () => {
    const file = router(
      'host: a.test, path: /x, service: web',
      'service: web',
      'host: A.test, path: /x, service: api',
      'host: "*", service: api',
    );
    expect(problemsOf({ file })).toEqual([
      'upriver.yaml:6:9: routers.0.routes.2: there is a route for a.test and /x already: routers.0.routes.0 (upriver.yaml:4:9)',
      'upriver.yaml:7:9: routers.0.routes.3: there is a route for any host and / already: routers.0.routes.1 (upriver.yaml:5:9)',
    ]);
  });

  it('that differ are two', () => {
    const file = router(
      'host: a.test, path: /x, service: web',
      'host: a.test, path: /x/, service: web',
      'host: "*.a.test", path: /x, service: web',
    );
    expect(problemsOf({ file })).toEqual([]);
  });
});

describe('a redirect', () => {
  const loop = 'the redirect leads back to its own route';

  it.each([
    ['path: /old, redirect: { location: /old/new }'],
    ['path: /, redirect: { location: /new }'],
    ['host: a.test, redirect: { location: "http://a.test/x" }'],
    ['host: a.test, redirect: { location: "http://a.test:80" }'],
    ['host: "*.a.test", redirect: { location: "http://$host/x" }'],
    ['redirect: { location: "http://$host$request_uri" }'],
    ['path: /a, redirect: { location: "$path" }'],
  ])('%s is told to be a loop', (route) => {
    expect(problemsOf({ file: router(route) })).toEqual([expect.stringContaining(loop)]);
  });

  it('that comes back by way of others is told once, with them', () => {
    const file = router(
      'path: /a, redirect: { location: /b }',
      'path: /b, redirect: { location: /c }',
      'path: /c, redirect: { location: /a/x }',
    );
    expect(problemsOf({ file })).toEqual([
      expect.stringMatching(
        /^upriver\.yaml:4:\d+: routers\.0\.routes\.0\.redirect\.location: .* by way of routers\.0\.routes\.1\.redirect \(upriver\.yaml:5:\d+\), routers\.0\.routes\.2\.redirect \(/,
      ),
    ]);
  });

  it.each([
    ['host: a.test, redirect: { location: "https://$host$request_uri" }'],
    ['host: a.test, redirect: { location: "http://b.test$path" }'],
    ['host: a.test, redirect: { location: "http://a.test:8080/" }'],
    ['path: /old, redirect: { location: /new }'],
  ])('%s is none', (route) => {
    expect(problemsOf({ file: router(route) })).toEqual([]);
  });

  it('to a path that a service answers is none', () => {
    const file = router('redirect: { location: /app/ }', 'path: /app, service: a');
    expect(problemsOf({ file })).toEqual([]);
  });
});

describe('what looks like a variable', () => {
  it.each([
    ['/$hots', 'unknown variable $hots; known are $host, $path, $request_uri'],
    ['https://$host$uri', 'unknown variable $uri; known are'],
    ['https://%[req.hdr(host)]/', 'unknown variable %[req.hdr(host)]; known are'],
    ['https://{host}/', 'unknown variable {host}; known are'],
    ['https://%{HTTP_HOST}/', 'unknown variable %{HTTP_HOST}; known are'],
    ['https://a b/', 'expected a URL such as https://$host/, or a path that starts with /'],
    ['www.example.com', 'expected a URL such as'],
  ])('is an error in a redirect: %s', (location, message) => {
    const file = router(`host: a.test, redirect: { location: '${location}' }`);
    expect(problemsOf({ file })).toEqual([expect.stringContaining(message)]);
  });

  it.each([
    ['$remote_addr', '$remote_addr'],
    ['%[src]', '%[src]'],
    ['%REQ(:authority)%', '%REQ(:authority)%'],
    ['{http.request.host}', '{http.request.host}'],
  ])('is an error in the value of a field, which has none: %s', (value, shown) => {
    const file = `services: { a: { listen: 80, http: { request_headers: { x-a: '${value}' } } } }`;
    expect(problemsOf({ file })).toEqual([
      expect.stringContaining(`expected no variable, and ${shown} would be sent as it is`),
    ]);
  });

  it('is an error in what a route sends', () => {
    const file = router(
      'prefix: /$host, service: a',
      'host: b.test, rewrite_host: $host, service: a',
    );
    const problems = problemsOf({ file });
    expect(problems).toHaveLength(2);
    for (const one of problems) expect(one).toContain('expected no variable, and $host would be');
  });

  it('is sent as it is where its dollar is doubled', () => {
    const values = '{ x-a: "cost $5", x-b: "$$$$home", x-c: "100% [x] {}" }';
    const file = `services: { a: { http: { response_headers: ${values} } } }`;
    expect(settingsOf({ file }).services[0]!.http.headers.response.set).toEqual({
      'x-a': 'cost $5',
      'x-b': '$home',
      'x-c': '100% [x] {}',
    });
  });

  it('of the environment must be written in full', () => {
    const file = dollars('log: { access: "/var/§{log.dir}" }');
    expect(problemsOf({ file })).toEqual([
      expect.stringContaining(dollars('upriver.yaml:1:16: expected §{NAME}, §{NAME:-default}')),
    ]);
  });
});

describe('what a route can never match or send', () => {
  it.each([
    ['host: "https://a.test", service: a', 'expected a host without scheme and port'],
    ['host: "a.test:80", service: a', 'expected a host without scheme and port'],
    ['host: "a.*.test", service: a', 'expected a host without scheme and port'],
    ['strip: api, service: a', 'expected a path that starts with /'],
    ['prefix: api, service: a', 'expected a path that starts with /'],
    ['prefix: "/a b", service: a', 'expected a path that starts with /'],
    ['rewrite_host: "a\\r\\nX: y", service: a', 'expected a host or host:port'],
    ['rewrite_host: "http://a", service: a', 'expected a host or host:port'],
  ])('is an error: %s', (route, message) => {
    expect(problemsOf({ file: router(route) })).toEqual([expect.stringContaining(message)]);
  });

  it('is no host in brackets, with a dot at its end, or by its port in rewrite_host', () => {
    const file = router(
      'host: "[::1]", service: a',
      'host: a.test., service: a',
      'host: b.test, rewrite_host: "inner:8080", service: a',
    );
    const { routes } = settingsOf({ file }).routers[0]!;
    expect(routes.map(({ host }) => host)).toEqual(['[::1]', 'a.test', 'b.test']);
  });
});

describe('a problem', () => {
  it('hides no other: variables, values, flags and contradictions are told at once', () => {
    const file = [
      dollars('log: { level: "§{LEVEL}" }'),
      'services:',
      '  a: { listen: 80, balance: fastest }',
      '  b: { listen: 80, from: { registry: static } }',
      'routers:',
      '  - { listen: 90, routes: [{ service: d, path: x }, { service: c }] }',
    ].join('\n');
    const flags = { service: ['=1'], static: ['z=h:1'] };
    const env = { CONSUL_HTTP_SSL: 'yes', UPRIVER_LOG_LEVL: 'x' };
    const places = problemsOf({ file, flags, env }).map((text) => text.split(': ').slice(0, 2));
    expect(places).toEqual([
      ['CONSUL_HTTP_SSL', '"yes"'],
      ['UPRIVER_LOG_LEVL', 'unknown variable; did you mean UPRIVER_LOG_LEVEL?'],
      ['--service', "'=1'"],
      ['upriver.yaml:1:15', 'the variable LEVEL is not set'],
      ['upriver.yaml:3:29', 'services.a.balance'],
      ['upriver.yaml:4:16', 'services.b.listen'],
      ['upriver.yaml:4:38', 'services.b.from.registry'],
      ['upriver.yaml:6:48', 'routers.0.routes.0.path'],
    ]);
  });

  it('of a text that cannot be read is told alone: nothing else is known', () => {
    expect(problemsOf({ file: 'services: [', flags: { static: ['a'] } })).toHaveLength(2);
  });
});

describe('a variable of the environment', () => {
  it.each([
    ['UPRIVER_STAT', 'UPRIVER_STATS'],
    ['UPRIVER_LOGLEVEL', 'UPRIVER_LOG_LEVEL'],
    ['UPRIVER_CONFG', 'UPRIVER_CONFIG'],
  ])('%s is taken for a misspelt %s', (variable, meant) => {
    expect(problemsOf({ env: { [variable]: 'x' } })).toEqual([
      `${variable}: unknown variable; did you mean ${meant}?`,
    ]);
  });

  it.each(commands.flatMap(({ flags }) => flags.map(({ environment }) => environment)))(
    '%s, which stands beside a flag, is known',
    (variable) => {
      if (!variable.startsWith('UPRIVER_')) return;
      expect(problemsOf({ env: { [variable]: '' } })).toEqual([]);
    },
  );

  it('that is like none of ours is told which there are', () => {
    expect(problemsOf({ env: { UPRIVER_BACKENDS: '' } })[0]).toMatch(
      /^UPRIVER_BACKENDS: unknown variable; known are UPRIVER_STATS, .*UPRIVER_CONFIG/,
    );
  });

  it.each([
    ['UPRIVER_SERVICE_HOST', '10.0.0.1'],
    ['UPRIVER_SERVICE_PORT', '80'],
    ['UPRIVER_SERVICE_PORT_STATS', '1936'],
    ['UPRIVER_PORT', 'tcp://10.0.0.1:80'],
    ['UPRIVER_PORT_80_TCP', 'tcp://10.0.0.1:80'],
    ['UPRIVER_PORT_80_TCP_ADDR', '10.0.0.1'],
    ['UPRIVER_PORT_80_TCP_PORT', '80'],
    ['UPRIVER_CANARY_PORT_1936_TCP_PROTO', 'tcp'],
    ['UPRIVER_NAME', '/web/upriver'],
  ])('%s=%s is what Kubernetes or Docker sets for a Service of our name', (variable, value) => {
    expect(problemsOf({ env: { [variable]: value } })).toEqual([]);
  });

  it('with a port of its own is none of theirs', () => {
    expect(problemsOf({ env: { UPRIVER_STATS_PORT: '1937' } })[0]).toContain('unknown variable');
  });
});

describe('a key or value that another program knows', () => {
  const service = (text: string) => `services: { web: { listen: 80, ${text} } }`;
  it.each([
    [service('maxconn: 100'), 'unknown key; its counterpart is limits.connections'],
    [service('bind: ":80"'), 'unknown key; its counterpart is listen'],
    [service('leastconn: true'), 'unknown key; its counterpart is balance: least-conn'],
    [service('http2: true'), 'unknown key; its counterpart is http2 of a listener'],
    [service('gzip: true'), 'unknown key; this version has nothing of the kind'],
    [service('server: [a:1]'), 'unknown key; its counterpart is static: { NAME: [host:port] }'],
    [service('mode: tcp'), 'unknown key; its counterpart is protocol'],
    [
      service('proxy_read_timeout: 5s'),
      'its counterpart is timeouts.response and timeouts.idle_body',
    ],
    [service('healthCheck: {}'), 'unknown key; its counterpart is health'],
    [service('slowStart: 1s'), 'unknown key; did you mean slow_start?'],
    [service('connections: 5'), 'unknown key; did you mean limits.connections?'],
    [service('interval: 5s'), 'unknown key; did you mean health.interval?'],
    ['entryPoints: {}', 'unknown key; its counterpart is listen'],
    ['upstream: {}', 'unknown key; its counterpart is services, with fixed endpoints in static'],
    ['frontend: {}', 'unknown key; its counterpart is routers, or listen of a service'],
    [router('proxy_pass: a'), 'its counterpart is routers[].routes[].service'],
    [service('balance: leastconn'), 'did you mean least-conn?'],
    [service('balance: roundrobin'), 'did you mean round-robin?'],
    [service('balance: ip_hash'), 'did you mean hash(source)?'],
    [service('balance: least-con'), 'did you mean least-conn?'],
  ])('%s', (file, message) => {
    const told = problemsOf({ file });
    expect(told.join('\n')).toContain(message);
  });
});

describe('a PROXY header for endpoints', () => {
  const file = (upstream: string) =>
    `services: { web: { listen: 80, upstream: { send_proxy: v2, ${upstream} } } }`;

  it('goes with TLS', () => {
    expect(problemsOf({ file: file('tls: { enabled: true }') })).toEqual([]);
  });

  it.each(['protocol: h2, tls: { enabled: true }', 'protocol: h2c'])(
    'does not go with shared connections: %s',
    (upstream) => {
      expect(problemsOf({ file: file(upstream) })).toEqual([
        expect.stringMatching(/services\.web\.upstream\.send_proxy: speaks for one client/),
      ]);
    },
  );
});
