// Requests that come to the stats port through our own data plane: whatever a service leads by (a name
// that changes, another spelling or address of this machine, fields that are rewritten), the connection
// is one of this very process. The clients here are sockets of this process, or of a child.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { inodeOf, ownerOfPeer } from '../../src/supervisor/peer-process.ts';
import { makeEndpointView, makeServiceView, startStatsPort } from '../support/stats-port.ts';

const DRAIN = '/api/v1/services/web/endpoints/n1/drain';
let close = async (): Promise<void> => {};
afterEach(() => close());

async function start(options: Parameters<typeof startStatsPort>[0] = {}) {
  const port = await startStatsPort({ ownerOfPeer, ...options });
  port.services = [makeServiceView('web', { endpoints: [makeEndpointView('n1')] })];
  close = () => port.close();
  return port;
}

/** Asks from a process of its own, as an operator does. Returns the status. */
async function askFromOutside(url: string, method: string): Promise<number> {
  const script = `fetch(${JSON.stringify(url)}, { method: ${JSON.stringify(method)} }).then((r) => console.log(r.status))`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script]);
  return Number(stdout);
}

describe('a request through our own data plane', () => {
  it('changes nothing, as one of another process does', async () => {
    const port = await start();
    const { status, text } = await port.ask(DRAIN, { method: 'POST' });
    expect([status, text]).toEqual([403, expect.stringContaining('through Upriver itself')]);
    expect(port.operated).toEqual([]);
    expect(await askFromOutside(port.url + DRAIN, 'POST')).toBe(200);
    expect(port.operated).toEqual([['web', 'n1', { kind: 'drain' }]]);
  });

  it('changes nothing though it has closed before it was looked at', async () => {
    const port = await start();
    const { port: number } = new URL(port.url);
    const socket = connect(Number(number), '127.0.0.1');
    await once(socket, 'connect');
    socket.write(`POST ${DRAIN} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n`);
    socket.destroy();
    // Whatever came of it has come when the next one is answered.
    await askFromOutside(`${port.url}/healthz`, 'GET');
    expect(port.operated).toEqual([]);
  });

  it('takes no stats port over', async () => {
    const port = await start();
    expect((await port.ask('/api/v1/takeover', { method: 'POST' })).status).toBe(403);
  });

  it('reads nothing where reading is for this machine', async () => {
    const port = await start({ access: { read: ['loopback'] } });
    expect((await port.ask('/metrics')).status).toBe(403);
    expect((await port.ask('/healthz')).status).toBe(200);
    expect(await askFromOutside(`${port.url}/metrics`, 'GET')).toBe(200);
  });

  it('may with a token', async () => {
    const port = await start({ access: { read: ['loopback'], adminToken: 'secret' } });
    const headers = { authorization: 'Bearer secret' };
    expect((await port.ask('/metrics', { headers })).status).toBe(200);
    expect((await port.ask(DRAIN, { method: 'POST', headers })).status).toBe(200);
  });
});

describe('the other end of a connection', () => {
  const four =
    '   1: 0100007F:C350 0100007F:0790 01 00000000:00000000 00:00000000 00000000 0 0 77 1';
  const six =
    '   2: 0000000000000000FFFF00000100007F:C351 0000000000000000FFFF00000100007F:0790 01 0:0 00:0 0 0 0 78 1';
  const tables = `  sl local rem\n${four}\n${six}`;

  it.each([
    ['127.0.0.1', 50_000, 1936, '77'],
    ['::ffff:127.0.0.1', 50_000, 1936, '77'],
    ['127.0.0.1', 50_001, 1936, '78'],
    ['127.0.0.2', 50_000, 1936, ''],
    ['127.0.0.1', 50_000, 1937, ''],
    ['127.0.0.1', 1936, 50_000, ''],
  ])('%s:%i at our port %i is socket %s', (address, port, localPort, inode) => {
    expect(inodeOf({ address, port, localPort }, tables)).toBe(inode);
  });
});
