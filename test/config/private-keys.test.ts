// A private key that was pasted where none belongs: no piece of it is in a problem, whatever part of the
// configuration has it, by whatever source, and however YAML takes it apart.
import { describe, expect, it } from 'vitest';
import { describeService } from '../../src/config/describe.ts';
import type { RunFlags } from '../../src/config/flags.ts';
import { BOUNDS } from '../../src/model/bounds.ts';
import { plainSource } from '../../src/model/source.ts';
import { load, problemsOf } from '../support/config.ts';
import { bodyOf, PRIVATE_KEYS, pieceFinder } from '../support/private-keys.ts';

/** `@` is where the key goes. */
const PLACES = [
  '@',
  'services: @',
  'services: { web: @ }',
  'services: { web: { balance: @ } }',
  'services: { web: { listen: @ } }',
  'services: { web: { listen: { address: ":1", tls: @ } } }',
  'services: { web: { from: { registry: @ } } }',
  'services: { web: { health: { path: @, type: @ } } }',
  'services: { web: { timeouts: { connect: @ } } }',
  'services: { web: { http: { request_headers: { X-Other: @ } } } }',
  'services: { web: { http: { request_headers: @ } } }',
  'services: { web: { upstream: { tls: { key_file: @, cert_file: @ } } } }',
  'services: { web: { upstream: { host: @ } } }',
  'services: { @: { balance: x } }',
  'services: { web: { @: x } }',
  'static: { web: @ }',
  'static: { web: [@] }',
  'routers: [{ listen: @ }]',
  'routers: [{ listen: ":1", routes: [{ host: @, service: x }, { path: @ }, { redirect: @ }] }]',
  'tls: { certificates: [{ cert_file: a, key_file: @ }] }',
  'tls: { certificates: [@] }',
  'tls: { certificates: @ }',
  'tls: { min_version: @ }',
  'tls: { client_auth: require, client_ca_file: @ }',
  'registries: { consul: { address: @ } }',
  'registries: { consul: { token: [@], token_file: @ } }',
  'registries: { consul: { token: { a: @ } } }',
  'registries: { consul: { tls: { key_file: @ } } }',
  'registries: { etcd: { password: [@], password_file: @ } }',
  'registries: { http: { url: @, token_file: @ } }',
  'registries: { zookeeper: { address: @, password_file: @ } }',
  'registries: { docker: { address: @ } }',
  'registries: { dns: { address: @ } }',
  'registries: { file: { path: [@, 1] } }',
  'registries: { @: {} }',
  'stats: { admin_token: @ }',
  'stats: { listen: @, read: @, hosts: @ }',
  'log: { level: @ }',
  'register: { to: @ }',
  'register: @',
  'x: !@ y',
  'x: *@',
  `x: $${'{@}'}`,
  `$${'{A:?@}'}: 1`,
  '- a: @\n  - b',
];

type Form = (pem: string) => string;
const indented = (pem: string, by: string): string => pem.trim().replaceAll('\n', `\n${by}`);

/** As it may stand in a file. */
const FORMS: Readonly<Record<string, Form>> = {
  quoted: (pem) => JSON.stringify(pem),
  'in two quotes': (pem) => JSON.stringify(JSON.stringify(pem)),
  'quoted, the line ends in the file': (pem) => `"${pem}"`,
  'quoted, its line ends escaped in the file': (pem) => `"${pem.replaceAll('\n', '\\\n')}"`,
  'in single quotes': (pem) => `'${pem}'`,
  plain: (pem) => indented(pem, '      '),
  'at the start of the line': (pem) => pem,
  block: (pem) => `|\n  ${indented(pem, '  ')}\n`,
  'block, folded': (pem) => `>-\n      ${indented(pem, '      ')}\n`,
  'block, not indented': (pem) => `|\n${pem}`,
  'as a key': (pem) => `? ${JSON.stringify(pem)}\n: x`,
  'a list of lines': (pem) => `[${pem.trim().split('\n').join(', ')}]`,
  'a list of quoted lines': (pem) => JSON.stringify(pem.trim().split('\n')),
  'lines as keys': (pem) => `{ ${pem.trim().split('\n').join(': 1, ')}: 1 }`,
  'without its last line': (pem) => JSON.stringify(pem.replace(/-----END[\s\S]*/, '')),
  'without its first line': (pem) => JSON.stringify(pem.replace(/.*\n/, '')),
  'without any quote or end': (pem) => pem.replace(/-----END[\s\S]*/, ''),
  'on one line': (pem) => pem.replaceAll('\n', ' '),
  'with line ends of Windows': (pem) => JSON.stringify(pem.replaceAll('\n', '\r\n')),
};

const EACH = Object.entries(PRIVATE_KEYS);

describe.each(EACH)('%s', (_, pem) => {
  const find = pieceFinder([pem]);

  it.each(Object.entries(FORMS))('%s: in a file and in an overlay', (name, form) => {
    for (const place of PLACES) {
      const text = place.replaceAll('@', () => form(pem));
      for (const given of [{ file: text }, { kv: text }]) {
        const told = problemsOf(given).join('\n');
        expect(find(told), `${place}, ${name}: ${told}`).toBe('');
      }
    }
  });

  it('in a variable', () => {
    const [key, other] = ['TLS_PEM', 'A'].map((name) => `"$\{${name}}"`);
    const file = `services: { web: { balance: ${key}, listen: ${other} } }
registries: { dns: { address: ${key} } }`;
    for (const value of [pem, pem.replaceAll('\n', '\\n')]) {
      const told = problemsOf({ file, env: { TLS_PEM: value, A: 'x' } }).join('\n');
      expect(told).toContain('services.web.balance: "***');
      expect(find(told), told).toBe('');
    }
    for (const name of Object.keys(ENVIRONMENT)) {
      const { problems } = load({ env: { [name]: pem } });
      expect(find(JSON.stringify(problems)), name).toBe('');
    }
  });

  it('in a flag', () => {
    const flags: RunFlags[] = [
      ...[
        'stats',
        'workers',
        'log-level',
        'log-format',
        'memory-max',
        'register',
        'register-self',
      ].map((name) => ({ [name]: pem })),
      ...['static', 'service', 'tls-key', 'tls-cert', 'consul', 'etcd', 'dns', 'zookeeper'].map(
        (name) => ({ [name]: [pem] }),
      ),
      ...[`web=${pem}`, `web=1,balance=${pem}`, `web=1,${pem}=1`, `web=1,from.tag=a,${pem}`].map(
        (service) => ({ service: [service] }),
      ),
      { static: [`web=${pem}`] },
      { 'tls-cert': [pem, 'a'], 'tls-key': [pem] },
      { 'tls-cert': ['a'], 'tls-key': [pem] },
    ];
    for (const one of flags) {
      const { problems } = load({ flags: one });
      expect(find(JSON.stringify(problems)), JSON.stringify(problems)).toBe('');
    }
  });

  it('in what a service says of itself', () => {
    for (const value of [
      pem,
      pem.replaceAll('\n', '\\n'),
      pem.replaceAll('\n', ' '),
      bodyOf(pem)[0]!,
    ]) {
      const settings = [
        ...[
          'listen',
          'balance',
          'health.path',
          'health.type',
          'route',
          'upstream.tls.key_file',
        ].map((key) => ({ [key]: value })),
        ...['http.request_headers.X', 'http.request_headers.', ''].map((key) => ({
          [key + value]: value,
        })),
      ];
      for (const one of settings) {
        const { problems } = describeService(plainSource('consul', 'web'), one);
        expect(find(problems.join('\n')), problems.join('\n')).toBe('');
      }
    }
  });
});

/** Variables that set a key of the configuration. */
const ENVIRONMENT = {
  ...{ UPRIVER_STATS: 1, UPRIVER_ADMIN_TOKEN: 1, UPRIVER_WORKERS: 1, UPRIVER_LOG_LEVEL: 1 },
  ...{ UPRIVER_MEMORY_MAX: 1, UPRIVER_TLS_KEY: 1, UPRIVER_TLS_CERT: 1, CONSUL_HTTP_ADDR: 1 },
  ...{ CONSUL_CLIENT_KEY: 1, CONSUL_HTTP_TOKEN_FILE: 1, CONSUL_HTTP_SSL: 1, ETCD_ENDPOINTS: 1 },
  ...{ ETCD_HOST: 1, SERVICE: 1, CONSUL: 1, DOCKER_HOST: 1, UPRIVER_OTHER: 1 },
};

it('a key in the place of the path to one is refused, and a long value is cut', () => {
  const pem = PRIVATE_KEYS['EC, PKCS 8']!;
  const file = `tls: { certificates: [{ cert_file: a, key_file: ${JSON.stringify(pem)} }] }`;
  expect(problemsOf({ file })).toEqual([
    'upriver.yaml:1:49: tls.certificates.0.key_file: "***\\n": expected the path of a file, not its content',
  ]);
  const long = `services: { web: { listen: 80, protocol: ${'y'.repeat(5000)} } }`;
  expect(problemsOf({ file: long })).toEqual([
    `upriver.yaml:1:42: services.web.protocol: "${'y'.repeat(BOUNDS.configValue.max - 1)}… (5002 characters): expected http, tcp or udp`,
  ]);
  // What is hidden is hidden before it is cut.
  const cut = `services: { web: { protocol: "${'y'.repeat(190)}$\{A_SECRET}" } }`;
  const told = problemsOf({ file: cut, env: { A_SECRET: 'hush'.repeat(200) } });
  expect(told.join()).not.toContain('hush');
});
