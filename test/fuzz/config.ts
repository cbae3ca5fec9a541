// Texts of a configuration: the file, the overlay in the registry, and the state file.
import { deepStrictEqual, ok } from 'node:assert/strict';
import { CodedError } from '../../src/base/coded-error.ts';
import { loadSettings } from '../../src/config/load.ts';
import { formatProblem } from '../../src/config/problem.ts';
import { ConsulError } from '../../src/discovery/consul/answer.ts';
import { keyText } from '../../src/discovery/consul/kv-watch.ts';
import type { Settings } from '../../src/model/settings.ts';
import { linesOf, parseState, type State } from '../../src/state/state-format.ts';
import { WarmTable } from '../../src/state/warm-table.ts';
import { ManualClock } from '../support/clock.ts';
import { source } from '../support/discovery.ts';
import type { FuzzTarget } from './target.ts';

const FILE = `registries: { consul: { address: 'http://127.0.0.1:8500', token: marked-token } }
services:
  web: { listen: 8000, health: { path: /up, interval: 2s } }
  more: { listen: [ 8001, '127.0.0.1:8002' ], protocol: tcp, balance: hash(source) }
stats: { listen: ':1936', admin_token: marked-admin }
`;
const OVERLAYS = [
  'services: { web: { listen: 8003, timeouts: { connect: 1s } }, new: { listen: 8004 } }',
  'services: { web: { http: { response_headers: { X-A: b } }, passive: { max_ejected: 20% } } }',
  `routers:
  - listen: 80
    routes:
      - { host: a.example.com, path: /v1, service: web }
      - { path: /, redirect: { status: 301, location: 'https://a.example.com/' } }
`,
  'services:\n  web: &web\n    listen: 8003\n  other:\n    <<: *web\n',
];
const MORSELS = [
  ...[
    '\n',
    '  ',
    ': ',
    '- ',
    '{',
    '}',
    '[',
    ']',
    ',',
    '&a ',
    '*a',
    '!!',
    '!!binary ',
    '!<x> ',
    '|\n',
  ],
  ...[
    '>',
    '"',
    "'",
    '#',
    '---\n',
    '...\n',
    '%YAML 1.1\n',
    '? ',
    '<<: *a',
    '\t',
    '~',
    '0o7',
    '.inf',
  ],
  ...['registries: ', 'consul: ', 'token_file: ', 'stats: ', 'services: ', 'routers: ', 'static: '],
  ...[
    '/run/x.sock',
    '/etc/passwd',
    `$${'{MARKED}'}`,
    `$${'{MARKED:-x}'}`,
    '$$',
    'trusted_proxies: ',
  ],
  ...[
    'listen: ',
    'state: { file: /tmp/x }',
    'log: { access: /tmp/x }',
    '1936',
    'null',
    '2001-01-01',
  ],
];
const ENV = { MARKED: 'marked-environment' };

function load(text: string, kv: string | null) {
  const result = loadSettings({
    ...{ flags: {}, env: ENV },
    file: { path: '/etc/upriver.yaml', text },
    kv: kv === null ? null : { key: 'upriver/config', text: kv },
  });
  const { settings, problems } = result;
  ok((settings === null) === problems.length > 0, 'settings and problems, or neither');
  ok(problems.length <= 101, `${problems.length} problems`);
  for (const problem of problems) {
    const told = formatProblem(problem);
    ok(told.length < 4000, `a problem of ${told.length} characters`);
    ok(problem.where !== '' && problem.message !== '', 'a problem without place or message');
  }
  return result;
}

/** What an overlay must leave as the file has it; which listeners are its own, is known by them. */
function guarded({ services: _, routers: __, overlayListeners: ___, ...rest }: Settings) {
  return rest;
}

const { settings: base } = load(FILE, null);

const overlayText: FuzzTarget = {
  name: 'overlay',
  seeds: OVERLAYS,
  morsels: MORSELS,
  check: (input) => {
    const { settings, problems } = load(FILE, input);
    const told = JSON.stringify(problems.map(formatProblem));
    ok(!told.includes('marked'), 'a secret in a problem');
    if (settings === null) return;
    deepStrictEqual(guarded(settings), guarded(base!));
    const served = JSON.stringify([settings.services, settings.routers]);
    ok(!served.includes('marked'), 'a secret in what is served');
    ok(!/"kind":"unix"/.test(served), 'a unix socket');
    const proxies = settings.services.flatMap(({ http }) => http.trustedProxies);
    deepStrictEqual(proxies, [], 'trusts somebody');
  },
};

const kv: FuzzTarget = {
  name: 'consul-kv',
  seeds: OVERLAYS.slice(0, 2).map((text) =>
    JSON.stringify([
      { Key: 'upriver/config', Value: Buffer.from(text).toString('base64'), ModifyIndex: 5 },
    ]),
  ),
  morsels: ['"Value":', 'null', '====', '\\u0000', '[', ']', '{', '}', ','],
  check: (input) => {
    let text: string | null;
    try {
      text = keyText(JSON.parse(input));
    } catch (error) {
      if (error instanceof SyntaxError || error instanceof ConsulError) return;
      throw error;
    }
    ok(text === null || typeof text === 'string');
    return overlayText.check(text ?? '');
  },
};

const yaml: FuzzTarget = {
  name: 'yaml',
  seeds: [FILE, ...OVERLAYS],
  morsels: MORSELS,
  check: (input) => void load(input, null),
};

const STATE: State = {
  writtenMs: 1_700_000_000_000,
  fingerprints: { consul: 'abc' },
  sources: [
    {
      source: source('web'),
      settings: { listen: '8000' },
      endpoints: [
        { id: 'n/a', address: '10.0.0.1', port: 80, weight: 1, status: 'passing', statusText: '' },
      ],
    },
  ],
  checks: [{ service: 'web', up: ['n/a'], down: [] }],
};

const state: FuzzTarget = {
  name: 'state-file',
  seeds: [[...linesOf(STATE)].join('')],
  morsels: ['\n', '{', '}', '[', ']', '"lines":', '1e999', 'null', '"port":', ',', '0'],
  check: async (input) => {
    const clock = new ManualClock();
    let read: State;
    try {
      read = await parseState(input, clock);
    } catch (error) {
      const isMeant = error instanceof CodedError && /^state-/.test(error.code);
      if (isMeant && error.message.length < 500) return;
      throw error;
    }
    const updates = new WarmTable(read, clock).serve([source('web')]);
    for (const update of updates) {
      ok(update.kind === 'upsert');
      for (const { port, weight } of update.service.endpoints) {
        ok(port >= 1 && port <= 65_535 && Number.isFinite(weight) && weight >= 0);
      }
    }
  },
};

export const configTargets: readonly FuzzTarget[] = [overlayText, kv, yaml, state];
