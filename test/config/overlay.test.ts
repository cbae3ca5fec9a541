// The overlay in the registry: what it may change, and what it must never reach.
import { describe, expect, it } from 'vitest';
import { keyRows } from '../../scripts/config-docs.ts';
import { OVERLAY_KEYS } from '../../src/config/overlay-keys.ts';
import { load, problemsOf, settingsOf } from '../support/config.ts';

const file = `
registries: { consul: { address: 'http://127.0.0.1:8500', token: the-token } }
services: { web: { listen: 80 } }
`;

describe('an overlay may', () => {
  it('change services and routers', () => {
    const kv = `
services:
  web: { listen: 8081, health: { path: /up }, passive: { success_rate: { enabled: true } } }
  more: { listen: [ 8082, "127.0.0.1:8083" ], from: { service: other, accept: [ passing ] } }
routers: [ { listen: 8090, routes: [ { host: a.example, service: more } ] } ]
`;
    const { services, routers, registries } = settingsOf({ file, kv });
    expect(services.map(({ name, listen }) => [name, listen.length])).toEqual([
      ['web', 1],
      ['more', 2],
    ]);
    expect(routers).toHaveLength(1);
    expect(registries.consul).toMatchObject({
      token: 'the-token',
      addresses: ['http://127.0.0.1:8500'],
    });
  });

  it('add listeners, which are known as its own', () => {
    const kv = 'services: { web: { slow_start: 1s }, more: { listen: [ 8082, "[::1]:8083" ] } }';
    expect(settingsOf({ file, kv }).overlayListeners).toEqual([':8082', '[::1]:8083']);
    const moved = settingsOf({ file, kv: 'services: { web: { listen: 8084 } }' });
    expect(moved.overlayListeners).toEqual([':8084']);
    expect(settingsOf({ file }).overlayListeners).toEqual([]);
  });

  it('say nothing', () => {
    expect(settingsOf({ file, kv: '' })).toEqual(settingsOf({ file }));
    expect(settingsOf({ file, kv: 'services:\nrouters:\n' })).toEqual(settingsOf({ file }));
  });

  it('set no key that the schema does not have', () => {
    const keys = new Set(keyRows().map(({ key }) => key));
    expect([...OVERLAY_KEYS].filter((key) => !keys.has(key))).toEqual([]);
  });

  it('set nothing beside services and routers', () => {
    expect([...OVERLAY_KEYS].filter((key) => !/^(services\.NAME|routers\[\])\./.test(key))).toEqual(
      [],
    );
    const dangerous = [...OVERLAY_KEYS].filter((key) => /file|token|secret|auth|dir$/.test(key));
    expect(dangerous).toEqual([]);
  });
});

describe('an overlay must not', () => {
  const NOT = 'must not be set by the overlay; expected settings of services and routers';
  it.each([
    ['registries: { consul: { address: "attacker.example:8500" } }', 'registries', 'a map'],
    ['registries: { consul: { token_file: /etc/shadow } }', 'registries', 'a map'],
    ['stats: { admin_token: x }', 'stats', 'a map'],
    ['state: { file: /tmp/x }', 'state', 'a map'],
    ['log: { access: /tmp/x }', 'log', 'a map'],
    ['static: { web: [ "127.0.0.1:22" ] }', 'static', 'a map'],
    ['guard: { enabled: false }', 'guard', 'a map'],
    ['memory: { max: 1 }', 'memory', 'a map'],
    ['shutdown: { grace: 0s }', 'shutdown', 'a map'],
    ['workers: 256', 'workers', 'a number'],
    ['workers: "7"', 'workers', 'a text'],
    ['log:', 'log', 'nothing'],
    ['stats: []', 'stats', 'a list'],
    [
      'services: { web: { http: { trusted_proxies: [ 0.0.0.0/0 ] } } }',
      'services.web.http.trusted_proxies',
      'a list',
    ],
  ])('hold %s', (kv, key, kind) => {
    const [problem = '', ...others] = problemsOf({ file, kv });
    expect(others).toEqual([]);
    expect(problem).toMatch(/^kv upriver\/config:1:\d+: /);
    expect(problem).toContain(`: ${key}: ${kind}: ${NOT}`);
  });

  it.each([
    ['services: { web: { listen: /run/web.sock } }', 'services.web.listen'],
    ['services: { web: { listen: [ 81, /run/web.sock ] } }', 'services.web.listen'],
    ['routers: [ { listen: /run/r.sock, routes: [] } ]', 'routers.0.listen'],
  ])('name a unix socket: %s', (kv, key) => {
    expect(problemsOf({ file, kv })[0]).toContain(`${key}: a`);
    expect(problemsOf({ file, kv })[0]).toContain('must not be a unix socket in the overlay');
  });

  const reference = (inside: string) => `"$${inside}"`;
  const header = (inside: string) =>
    `services: { web: { http: { response_headers: { X-A: ${reference(inside)} } } } }`;
  it.each([
    ['a value', header('{DB_PASSWORD}')],
    ['a default', header('{DB_PASSWORD:-}')],
    ['a key', `services: { ${reference('{DB_PASSWORD}')}: { listen: 90 } }`],
    ['an unset one', `services: { ${reference('{NONE:?what}')}: { listen: 90 } }`],
  ])('refer to the environment in %s', (_, kv) => {
    const problems = problemsOf({ file, kv, env: { DB_PASSWORD: 'hunter2' } });
    expect(problems).toEqual([
      expect.stringMatching(/^kv upriver\/config:1:\d+: a text: environment references .* overlay/),
    ]);
    expect(problems.join()).not.toContain('hunter2');
  });

  it.each([
    ['services: { web: { listen: 81 } }', 1],
    ['services: { web: { listen: [ 8081, "127.0.0.1:22" ] } }', 1],
    ['services: { web: { listen: 8080 }, more: { listen: "shop.example:8081" } }', 0],
    ['routers: [ { listen: 22, routes: [ { service: web } ] } ]', 1],
    // The file has it too.
    ['services: { web: { listen: 80 } }', 0],
    ['routers: [ { listen: 90, routes: [ { service: web } ] } ]', 0],
  ])('listen where tags may not: %s', (kv, count) => {
    const text = `
registries: { consul: { listen_allow: [ '8000-8999' ] } }
services: { web: { listen: 80 } }
routers: [ { listen: 90, routes: [ { service: web } ] } ]
`;
    const problems = problemsOf({ file: text, kv });
    expect(problems).toHaveLength(count);
    for (const problem of problems) {
      expect(problem).toMatch(/^kv upriver\/config:1:\d+: /);
      expect(problem).toContain('is not allowed in the overlay by registries.consul.listen_allow');
    }
  });

  it.each([
    ['health: { type: redis }', 'health.type', 'password: s3cr3t'],
    ['health: { type: redis }', 'health.type', 'password_file: /run/secrets/db'],
    ['health: { interval: 5s, port: 6379 }', 'health.port', 'password: s3cr3t'],
    ['from: { service: other }', 'from', 'password: s3cr3t'],
    ['upstream: { host: evil.example }', 'upstream.host', 'password: s3cr3t'],
  ])('have the password of a check sent otherwise: %s', (kv, key, password) => {
    const text = `
registries: { consul: {} }
services:
  db: { listen: 5432, health: { type: postgres, user: up, ${password} } }
  other: { listen: 5433, health: { type: postgres, user: up } }
`;
    expect(problemsOf({ file: text, kv: `services: { db: { ${kv} } }` })).toEqual([
      expect.stringMatching(
        new RegExp(
          `^kv upriver/config:1:\\d+: services\\.db\\.${key}: must not .* password of its check`,
        ),
      ),
    ]);
    // Other settings of it, and those of a service without a password, may change.
    const others = `services: { other: { ${kv} }, db: { health: { interval: 5s } }, new: { ${kv}, listen: 5434 } }`;
    expect(problemsOf({ file: text, kv: others })).toEqual([]);
  });

  it('be guessed at where it is only misspelt', () => {
    const kv = 'services: { web: { helth: { path: / } } }';
    expect(problemsOf({ file, kv })[0]).toContain('unknown key; did you mean health?');
  });

  it('merge keys around the list by anchors', () => {
    const kv = 'services: &a { web: { listen: 81 } }\nregistries: *a';
    expect(problemsOf({ file, kv })[0]).toContain('registries: a map: must not');
  });
});

it('writes nothing to stderr, whatever its keys are', async () => {
  const warnings: string[] = [];
  const note = ({ message }: Error): void => void warnings.push(message);
  process.on('warning', note);
  for (const kv of ['? !!binary aGVsbG8bWzJK\n: 1', '!<tag:x> x', '? [a]\n: 1']) load({ kv });
  // Node tells them in a turn of their own.
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', note);
  expect(warnings).toEqual([]);
});
