// The ways to an engine: over TCP, and over TLS with certificates of both sides.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createPlain, type RequestListener, type Server } from 'node:http';
import { createServer as createTls } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { hasSocket, openEngine } from '../../src/containers/door.ts';
import { EngineClient } from '../../src/containers/engine-client.ts';
import { parseEngineAddress } from '../../src/model/engine-address.ts';
import type { TlsSettings } from '../../src/model/registries/tls.ts';
import { makeCertificates } from '../support/registry-certificates.ts';

const folder = mkdtempSync(join(tmpdir(), 'upriver-engine-tls-'));
const file = (name: string): string => join(folder, name);
const answer: RequestListener = ({ url }, response) => {
  response.writeHead(200, { 'api-version': '1.41' });
  response.end(url === '/_ping' ? 'OK' : JSON.stringify([{ Id: 'abc', State: 'running' }]));
};
let plain: Server;
let secure: ReturnType<typeof createTls>;

beforeAll(async () => {
  makeCertificates(folder);
  const read = (name: string) => readFileSync(file(name));
  plain = createPlain(answer);
  secure = createTls(
    {
      ...{ ca: read('ca.pem'), cert: read('server.pem'), key: read('server.key') },
      ...{ requestCert: true, rejectUnauthorized: true },
    },
    answer,
  );
  for (const server of [plain, secure]) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  }
});
afterAll(() => {
  plain.close();
  secure.close();
  rmSync(folder, { recursive: true });
});

async function listed(server: { address(): unknown }, tls: Partial<TlsSettings>, isTls: boolean) {
  const { port } = server.address() as AddressInfo;
  const client = new EngineClient({
    addresses: [parseEngineAddress(`tcp://127.0.0.1:${port}`, isTls)],
    tls: { caFile: '', certFile: '', keyFile: '', serverName: '', verify: true, ...tls },
    ...{ clock: systemClock, open: openEngine, hasSocket },
  });
  const { signal } = new AbortController();
  try {
    await client.begin(signal);
    return await client.list(signal);
  } finally {
    await client.close();
  }
}

const expected = [{ id: 'abc', summary: 'running ' }];
const own = { certFile: file('client.pem'), keyFile: file('client.key') };

it('reaches an engine by TCP', async () => {
  expect(await listed(plain, {}, false)).toEqual(expected);
});

it('reaches an engine by TLS, with the certificates of DOCKER_CERT_PATH', async () => {
  expect(await listed(secure, { ...own, caFile: file('ca.pem') }, true)).toEqual(expected);
});

it('checks the certificate of the engine unless it is told not to', async () => {
  await expect(listed(secure, own, true)).rejects.toThrow(/certificate/);
  expect(await listed(secure, { ...own, verify: false }, true)).toEqual(expected);
});

it('says what is wrong where it is not let in, or a file is missing', async () => {
  await expect(listed(secure, { caFile: file('ca.pem') }, true)).rejects.toThrow(/_ping/);
  const gone = { ...own, caFile: file('none.pem') };
  await expect(listed(secure, gone, true)).rejects.toThrow(/none\.pem/);
});
