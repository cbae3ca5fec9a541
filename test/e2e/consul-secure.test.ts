// Rights and TLS of a real agent: default deny, a CA of its own, client certificates, HTTP/2.
import { once } from 'node:events';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/prng.ts';
import { ConsulProvider } from '../../src/discovery/consul/provider.ts';
import type { ConsulSettings } from '../../src/model/registries/consul.ts';
import type { ServiceSource } from '../../src/model/source.ts';
import { hasConsul, READ_ALL, type SecureConsul, startSecureConsul } from '../support/consul.ts';
import { startCountingProxy } from '../support/counting-proxy.ts';
import {
  consulDoors,
  consulSettings,
  guardSettings,
  keepingLogger,
  Receiver,
  source,
  untilTrue,
} from '../support/discovery.ts';

describe.skipIf(!hasConsul)('an agent with ACLs and TLS', () => {
  let consul: SecureConsul;
  let folder: string;
  let readToken: string;
  const ends: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    consul = await startSecureConsul();
    readToken = await consul.makeToken('read', READ_ALL);
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'upriver-secure-'));
  });
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
    await consul.agent.deregisterAll();
    rmSync(folder, { recursive: true, force: true });
  });
  afterAll(async () => {
    await consul.stop();
  });

  const tls = (more: Partial<ConsulSettings['tls']> = {}) => ({
    caFile: consul.caFile,
    certFile: consul.certFile,
    keyFile: consul.keyFile,
    serverName: '',
    verify: true,
    ...more,
  });

  function follow(more: Partial<ConsulSettings>, options: FollowOptions = {}) {
    const { sources = [source('web')], address = consul.httpsUrl } = options;
    const { log, lines } = keepingLogger();
    const provider = new ConsulProvider({
      ...consulDoors,
      guard: guardSettings,
      settings: consulSettings(address, { tls: tls(), ...more }),
      clock: systemClock,
      random: seededRandom(1),
      log,
      ...(options.directMax === undefined ? {} : { directMax: options.directMax }),
    });
    ends.push(() => provider.stop());
    const receiver = new Receiver();
    provider.follow(sources);
    provider.start(receiver.take);
    return { provider, receiver, lines };
  }

  interface FollowOptions {
    readonly sources?: readonly ServiceSource[];
    readonly address?: string;
    readonly directMax?: number;
  }

  const register = (ID: string, Name = 'web') => consul.agent.register({ Name, ID, Port: 8000 });

  it('is followed with a token, its CA and a client certificate', async () => {
    const { receiver, lines } = follow({ token: readToken });
    await register('web1');
    await receiver.until(() => receiver.ids('web').join() === 'dev/web1', 'web1');
    expect(lines.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
  });

  it('is trusted by the name that its certificate must have', async () => {
    const good = follow({ token: readToken, tls: tls({ serverName: 'server.dc1.consul' }) });
    await untilTrue(
      () => good.provider.status().isSynced,
      () => good.provider.status().lastError,
    );
    const bad = follow({ token: readToken, tls: tls({ serverName: 'other.example' }) });
    await untilTrue(
      () => bad.provider.status().errors > 0,
      () => 'an error',
    );
    expect(bad.provider.status().lastError).toContain('other.example');
    const blind = { serverName: 'other.example', verify: false };
    const unchecked = follow({ token: readToken, tls: tls(blind) });
    await untilTrue(
      () => unchecked.provider.status().isSynced,
      () => unchecked.provider.status().lastError,
    );
  });

  it.each([
    ['without its CA', { caFile: '' }],
    ['without a client certificate', { certFile: '', keyFile: '' }],
  ])('%s is not talked to, and why is said', async (_, without) => {
    const { provider, lines } = follow({ token: readToken, tls: tls(without) });
    await untilTrue(
      () => provider.status().errors > 0,
      () => 'an error',
    );
    expect(provider.status().isSynced).toBe(false);
    expect(lines.some(({ level }) => level === 'warn')).toBe(true);
  });

  it('names a certificate file that can not be read', async () => {
    const { provider } = follow({ tls: tls({ caFile: join(folder, 'none.pem') }) });
    await untilTrue(
      () => provider.status().errors > 0,
      () => 'an error',
    );
    expect(provider.status().lastError).toContain('none.pem');
  });

  it.each([
    ['no token', async (): Promise<string> => '', 'node:read'],
    [
      'a token without node:read',
      (): Promise<string> => consul.makeToken('s', 'service_prefix "" { policy = "read" }'),
      'node:read',
    ],
    [
      'a token without service:read',
      (): Promise<string> => consul.makeToken('n', 'node_prefix "" { policy = "read" }'),
      'service:read',
    ],
    [
      'an unknown token',
      async (): Promise<string> => '22222222-2222-2222-2222-222222222222',
      'refused',
    ],
  ] as const)('with %s: what is missing is said in the log', async (_, make, what) => {
    await register('web1');
    const { lines } = follow({ token: await make() });
    await untilTrue(
      () => lines.some(({ level, message }) => level === 'error' && message.includes(what)),
      () => JSON.stringify(lines),
    );
  });

  it('follows a token file that is replaced, also when the token before is deleted', async () => {
    const file = join(folder, 'token');
    const replace = (token: string) => {
      writeFileSync(`${file}.new`, `${token}\n`);
      renameSync(`${file}.new`, file);
    };
    const weak = await consul.makeToken('weak', 'key_prefix "" { policy = "read" }');
    replace(weak);
    const { provider, receiver } = follow({ tokenFile: file });
    await register('web1');
    await untilTrue(
      () => provider.status().isSynced,
      () => provider.status().lastError,
    );
    expect(receiver.ids('web')).toEqual([]);
    const first = await consul.makeToken('first', READ_ALL);
    replace(first);
    await receiver.until(
      () => receiver.ids('web').join() === 'dev/web1',
      'web1 with the new token',
    );
    expect(receiver.last('web')!.service.doubt).toBe('the token has changed');

    replace(await consul.makeToken('second', READ_ALL));
    await consul.deleteToken(first);
    await register('web2');
    await receiver.until(() => receiver.ids('web').length === 2, 'web2 with the third token');
  });

  it('that speaks only HTTP/1.1 over TLS is asked by few connections', async () => {
    const server = createServer(
      { key: readFileSync(consul.keyFile), cert: readFileSync(consul.certFile) },
      (incoming, response) => {
        const { url, headers } = incoming;
        const onAnswer = (answer: IncomingMessage) => {
          response.writeHead(answer.statusCode!, answer.headers);
          answer.pipe(response);
        };
        // Ended requests are the other side's way to say that it is done.
        get(`${consul.agent.url}${url}`, { headers }, onAnswer).on('error', () => {});
      },
    ).listen(0, '127.0.0.1');
    await once(server, 'listening');
    ends.push(async () => void server.close());
    ends.push(async () => server.closeAllConnections());
    const names = Array.from({ length: 40 }, (_, i) => `many${i}`);
    const { port } = server.address() as AddressInfo;
    const { provider, receiver } = follow(
      { token: readToken },
      {
        address: `https://127.0.0.1:${port}`,
        sources: names.map((name) => source(name)),
        directMax: 10,
      },
    );
    await untilTrue(
      () => provider.status().isSynced && provider.status().watches === 13,
      () => JSON.stringify(provider.status()),
    );
    for (const name of ['many0', 'many39']) {
      await register(`of-${name}`, name);
      await receiver.until(() => receiver.ids(name).join() === `dev/of-${name}`, name);
    }
  });

  it('has all watches on one connection: HTTP/2', async () => {
    const proxy = await startCountingProxy(Number(new URL(consul.httpsUrl).port));
    ends.push(() => proxy.stop());
    const names = Array.from({ length: 150 }, (_, i) => `many${i}`);
    const { provider, receiver } = follow(
      { token: readToken },
      {
        address: `https://127.0.0.1:${proxy.port}`,
        sources: names.map((name) => source(name)),
        directMax: 10,
      },
    );
    await untilTrue(
      () => provider.status().isSynced,
      () => JSON.stringify(provider.status()),
    );
    expect(provider.status().watches).toBe(150);
    await register('last', 'many149');
    await receiver.until(() => receiver.ids('many149').join() === 'dev/last', 'the last one');
    expect(proxy.openMax).toBeLessThanOrEqual(2);
  });
});
