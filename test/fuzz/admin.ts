// Requests to the stats port, as bytes on a connection: whatever they are, it answers without a 500 or
// closes, nobody without the token changes anything, and it goes on answering.
import { deepStrictEqual, ok } from 'node:assert/strict';
import { connect } from 'node:net';
import {
  makeEndpointView,
  makeServiceView,
  type StatsPort,
  startStatsPort,
} from '../support/stats-port.ts';
import type { FuzzTarget } from './target.ts';

const TOKEN = 'marked-token';
const ANSWER_MS_MAX = 10_000;

const request = (line: string, more = '') =>
  `${line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n${more}\r\n`;
const change = '/api/v1/services/web/endpoints/node-1%2Fweb-1';
const SEEDS = [
  request('GET /healthz'),
  request('GET /api/v1/services/web'),
  request('GET /stats;csv'),
  request('GET /metrics', 'Accept: application/openmetrics-text\r\n'),
  request('GET /api/v1/events?format=json', 'Last-Event-Id: 5\r\n'),
  request(`POST ${change}/drain`, 'Content-Length: 0\r\n'),
  `${request(`POST ${change}/weight`, 'Content-Length: 12\r\n')}{"weight": 5}`,
  request(`POST ${change}/ready`, 'Authorization: Bearer wrong\r\nContent-Length: 0\r\n'),
  request(`POST ${change}/maint`, 'Origin: http://evil.example\r\nContent-Length: 0\r\n'),
];
const MORSELS = [
  ...[
    '\r\n',
    '\r\n\r\n',
    ' ',
    '%',
    '%2F',
    '%00',
    '%ff',
    '/',
    '//',
    ';',
    '?',
    '&',
    '#',
    'GET',
    'HEAD',
  ],
  ...['PUT ', 'OPTIONS ', 'Content-Length: 99\r\n', 'Transfer-Encoding: chunked\r\n', '0\r\n\r\n'],
  ...['Authorization: Bearer \r\n', 'Host: evil.example\r\n', 'Upgrade: h2c\r\n', 'HTTP/1.0', '\t'],
  ...['{"weight": -1}', '{"weight": 1e9}', 'weight=7', '__proto__', 'constructor', '..', 'null'],
  ...['Expect: 100-continue\r\n', 'Accept-Encoding: gzip, br\r\n', 'http://x/', '\x00', '\xff'],
];

let starting: Promise<StatsPort> | null = null;

async function start(): Promise<StatsPort> {
  const port = await startStatsPort({ access: { adminToken: TOKEN } });
  port.services = [makeServiceView('web', { endpoints: [makeEndpointView('node-1/web-1')] })];
  return port;
}

export const adminTarget: FuzzTarget = {
  name: 'admin',
  seeds: SEEDS,
  morsels: MORSELS,
  check: async (input) => {
    starting ??= start();
    const port = await starting;
    const answer = await talk(port.url, Buffer.from(input, 'latin1'));
    for (const [, status] of answer.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)) {
      ok(Number(status) < 500 || status === '503' || status === '505', `answered ${status}`);
    }
    // Nobody guesses the token by accident.
    deepStrictEqual(port.operated, []);
    ok(!answer.includes(TOKEN), 'the token in an answer');
    deepStrictEqual((await port.ask('/healthz')).status, 200);
  },
  close: async () => {
    await (await starting)?.close();
    starting = null;
  },
};

/** Sends bytes and ends its side; resolves with what was answered when the other side has closed. */
function talk(url: string, bytes: Buffer): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(Number(port), hostname, () => socket.end(bytes));
    socket.setEncoding('latin1').setTimeout(ANSWER_MS_MAX);
    socket.on('data', (text) => {
      answer += text as unknown as string;
      // An event stream goes on.
      if (answer.includes('text/event-stream')) socket.destroy();
    });
    socket.on('timeout', () => {
      socket.destroy();
      reject(new Error('no answer'));
    });
    // It may have been closed before all was read.
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer));
  });
}
