// A real browser over TLS and HTTP/2: page, requests side by side, a large upload, server-sent events and
// WebSockets on one connection; to an endpoint of HTTP/1.1, and by HTTP/2 all the way.
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { Authority } from '../support/certificates.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

const executablePath = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
const ARGS = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
  ...['--host-resolver-rules=MAP site.test 127.0.0.1', '--ignore-certificate-errors'],
];
const UPLOAD_BYTES = 8 * 1024 * 1024;
const STREAMS = 60;
const MESSAGE_BYTES = 300_000;

/** The version by which each request came to the balancer: what Via says. */
const versions: string[] = [];

const versionOf = ({ headers }: IncomingMessage) => String(headers.via).split(' ')[0];

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = request.url ?? '';
  // Asked for when the browser likes to.
  if (path !== '/favicon.ico') {
    versions.push(`${path.replace(/\?.*/, '')} ${versionOf(request)}`);
  }
  if (path === '/upload') {
    let bytes = 0;
    for await (const piece of request) bytes += (piece as Buffer).length;
    response.end(String(bytes));
  } else if (path === '/events') {
    response.setHeader('content-type', 'text/event-stream');
    response.write('data: one\n\n');
    // The second follows when the first was received.
    const [told] = (await once(events, 'told')) as [string];
    response.write(`data: ${told}\n\n`);
  } else if (path.startsWith('/tell')) {
    response.end();
    events.emit('told', path.slice('/tell?'.length));
  } else {
    response.setHeader('content-type', 'text/html');
    response.end(path.startsWith('/piece') ? path : '<!doctype html><title>site</title>');
  }
}

const endpoint = createServer((request, response) => void serve(request, response));
const events = endpoint;
const sockets = new WebSocketServer({ server: endpoint, path: '/socket' });
sockets.on('connection', (socket, request) => {
  versions.push(`/socket ${versionOf(request)}`);
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});

const fetchPieces = `Promise.all(Array.from({ length: ${STREAMS} }, (_, i) =>
  fetch('/piece?' + i).then((answer) => answer.text())))`;

const upload = `fetch('/upload', { method: 'POST', body: new Uint8Array(${UPLOAD_BYTES}) })
  .then((answer) => answer.text())`;

const listen = `new Promise((resolve, reject) => {
  const got = [];
  const source = new EventSource('/events');
  source.onerror = () => reject(new Error('after ' + got));
  source.onmessage = ({ data }) => {
    got.push(data);
    if (got.length === 1) fetch('/tell?two');
    else { source.close(); resolve(got); }
  };
})`;

const chat = `new Promise((resolve, reject) => {
  const socket = new WebSocket('wss://' + location.host + '/socket');
  const got = [];
  socket.binaryType = 'arraybuffer';
  socket.onerror = () => reject(new Error('after ' + got));
  socket.onopen = () => { socket.send('hello'); socket.send(new Uint8Array(${MESSAGE_BYTES})); };
  socket.onmessage = ({ data }) => {
    got.push(typeof data === 'string' ? data : data.byteLength);
    if (got.length === 2) socket.close(4000, 'enough');
  };
  socket.onclose = ({ code, wasClean }) => resolve([...got, code, wasClean]);
})`;

const protocols = `performance.getEntriesByType('resource').map((one) => one.nextHopProtocol)`;

describe.skipIf(!existsSync(executablePath))('a browser', () => {
  const authority = new Authority();
  const site = authority.issue(['site.test']);
  const folder = mkdtempSync(join(tmpdir(), 'upriver-browser-'));
  const ports: number[] = [];
  let browser: Browser;
  let upriver: UpriverProcess;
  let second: UpriverProcess;

  beforeAll(async () => {
    endpoint.listen(0, '127.0.0.1');
    await once(endpoint, 'listening');
    ports.push(...(await freePorts(3)));
    const [one, two, inner] = ports;
    const plain = `127.0.0.1:${(endpoint.address() as AddressInfo).port}`;
    const tls = `{ certificates: [ { cert_file: ${site.certFile}, key_file: ${site.keyFile} } ] }`;
    const file = join(folder, 'upriver.yaml');
    writeFileSync(
      file,
      `static:
  plain: [ "${plain}" ]
  shared: [ "127.0.0.1:${inner}" ]
services:
  http1:
    from: { registry: static, service: plain }
    listen: { address: "127.0.0.1:${one}", http2: true, tls: ${tls} }
    http: { via: true }
  h2c:
    from: { registry: static, service: shared }
    listen: { address: "127.0.0.1:${two}", http2: true, tls: ${tls} }
    upstream: { protocol: h2c }
`,
    );
    upriver = await startUpriver({ args: ['--config', file, '--workers', '2'] });
    // Endpoints that take WebSockets by HTTP/2 are rare: another balancer is one.
    const service = `plain=127.0.0.1:${inner},http2=true,http.via=true`;
    second = await startUpriver({ args: ['--static', `plain=${plain}`, '--service', service] });
    browser = await chromium.launch({ executablePath, args: ARGS });
  });
  afterAll(async () => {
    await browser?.close();
    await upriver?.stop();
    await second?.stop();
    for (const client of sockets.clients) client.terminate();
    endpoint.close();
    authority.remove();
    rmSync(folder, { recursive: true });
  });

  const visit = async (at: number): Promise<Page> => {
    const page = await browser.newPage();
    await page.goto(`https://site.test:${ports[at]}/`);
    expect(await page.title()).toBe('site');
    versions.splice(0);
    return page;
  };

  it.each([
    [0, 'an endpoint of HTTP/1.1'],
    [1, 'endpoints of HTTP/2'],
  ])('speaks HTTP/2 with %i, in front of %s, whatever it does', async (at) => {
    const page = await visit(at);
    const pieces = Array.from({ length: STREAMS }, (_, i) => `/piece?${i}`);
    const all = await Promise.all([
      page.evaluate(fetchPieces),
      page.evaluate(upload),
      page.evaluate(listen),
      page.evaluate(chat),
    ]);
    expect(all).toEqual([
      pieces,
      String(UPLOAD_BYTES),
      ['one', 'two'],
      ['hello', MESSAGE_BYTES, 4000, true],
    ]);
    expect(new Set(versions)).toEqual(
      new Set(['/piece', '/upload', '/events', '/tell', '/socket'].map((one) => `${one} 2`)),
    );
    expect(new Set((await page.evaluate(protocols)) as string[])).toEqual(new Set(['h2']));
    await page.close();
  });

  it('sees WebSockets that go on when the process drains, and end with it', async () => {
    const page = await visit(0);
    const heard = page.evaluate(`new Promise((resolve) => {
      const socket = new WebSocket('wss://' + location.host + '/socket');
      const got = [];
      socket.onopen = () => { socket.send('before'); };
      socket.onmessage = ({ data }) => {
        got.push(data);
        if (data === 'during') socket.close(4000);
        else document.title = 'open';
      };
      globalThis.say = (text) => socket.send(text);
      socket.onclose = ({ code }) => resolve([...got, code]);
    })`);
    await expect.poll(() => page.title()).toBe('open');
    upriver.signal('SIGTERM');
    // Draining begins with its listeners.
    await expect
      .poll(() =>
        fetch(`${upriver.statsUrl}/readyz`).then(
          ({ status }) => status,
          () => 0,
        ),
      )
      .not.toBe(200);
    await page.evaluate(`say('during')`);
    expect(await heard).toEqual(['before', 'during', 4000]);
    expect(await upriver.exited).toBe(0);
    await page.close();
  });
});
