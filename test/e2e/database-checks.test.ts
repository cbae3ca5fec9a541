// Checks against the real servers: each is up, and each that is stopped (the kernel still accepts) is
// not; what a check leaves behind in their logs and counters.
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { probe } from '../../src/health/probe.ts';
import type { HealthCheck } from '../../src/model/service.ts';
import { makeCheck } from '../support/check.ts';
import {
  has,
  mysql,
  psql,
  redis,
  type ServerProcess,
  startMariadb,
  startMemcached,
  startPostgres,
  startRedis,
} from '../support/databases.ts';
import { freePorts } from '../support/ports.ts';
import { type LogLine, startUpriver, type UpriverProcess } from '../support/upriver.ts';

const started: ServerProcess[] = [];
let upriver: UpriverProcess | null = null;

afterEach(async () => {
  await upriver?.stop();
  upriver = null;
});
afterAll(() => Promise.all(started.splice(0).map((server) => server.stop())));

async function keep(server: Promise<ServerProcess>): Promise<ServerProcess> {
  started.push(await server);
  return server;
}

const check = (
  type: HealthCheck['type'],
  port: number,
  parts: Partial<HealthCheck> = {},
  address = '127.0.0.1',
) =>
  probe(
    makeCheck({ type, timeoutMs: 20_000, ...parts }),
    { address, port },
    new AbortController().signal,
  );

const login = (user: string, password: string) => ({
  login: { user, database: '', password, passwordFile: '', isCleartextAllowed: false },
});

async function expectFrozenIsBad(server: ServerProcess, type: HealthCheck['type']): Promise<void> {
  server.freeze();
  const outcome = await check(type, server.port, { timeoutMs: 300 });
  server.thaw();
  expect(outcome).toEqual({ isGood: false, text: 'no answer within 300ms' });
}

describe.skipIf(!has('redis'))('a real Redis', () => {
  it('is good, asks for its password, tells its role, and is bad when it is stopped', async () => {
    const server = await keep(startRedis());
    expect(await check('redis', server.port)).toEqual({
      ...{ isGood: true, text: 'PING answered +PONG' },
    });
    expect(await check('redis', server.port, { wantsRole: true })).toMatchObject({
      role: 'primary',
    });
    await expectFrozenIsBad(server, 'redis');
    await redis(server.port, 'CONFIG', 'SET', 'requirepass', 'secret');
    expect(await check('redis', server.port)).toMatchObject({ isGood: true });
    expect(await check('redis', server.port, login('', 'secret'))).toMatchObject({
      text: 'PING answered +PONG',
    });
    expect(await check('redis', server.port, login('', 'wrong'))).toMatchObject({ isGood: false });
  });

  it('that has lost its primary and says so is bad', async () => {
    const [nowhere] = (await freePorts(1)) as [number];
    const { port } = await keep(startRedis());
    await redis(port, 'CONFIG', 'SET', 'replica-serve-stale-data', 'no');
    await redis(port, 'REPLICAOF', '127.0.0.1', `${nowhere}`);
    expect(await check('redis', port)).toMatchObject({
      ...{ isGood: false, text: expect.stringContaining('-MASTERDOWN') },
    });
  });

  it('that is stopped behind Upriver is down within its checks, and up again', async () => {
    const servers = [await keep(startRedis()), await keep(startRedis())];
    const [port] = (await freePorts(1)) as [number];
    const list = servers.map((server) => `127.0.0.1:${server.port}`).join(',');
    const service = `cache=127.0.0.1:${port},protocol=tcp,health.type=redis,health.interval=500ms,health.timeout=1s`;
    upriver = await startUpriver({ args: ['--static', `cache=${list}`, '--service', service] });
    const victim = servers[0]!;
    const id = `127.0.0.1:${victim.port}`;
    const isLooked = (line: LogLine) => line.endpoint === id && line.to === 'up';
    await upriver.waitForLog(isLooked, 'it is up');
    const frozenMs = Date.now();
    victim.freeze();
    const down = await upriver.waitForLog(
      (line) =>
        line.endpoint === id &&
        line.from === 'up' &&
        line.to === 'down' &&
        Date.parse(String(line.time)) >= frozenMs,
      'it is down',
    );
    expect(down.reason).toBe('check: no answer within 1s');
    expect(await redis(port, 'PING')).toBe('PONG');
    const isBack = upriver.waitForLog(
      (line) => isLooked(line) && upriver!.log.indexOf(line) > upriver!.log.indexOf(down),
      'it is up again',
    );
    victim.thaw();
    await isBack;
  });
});

describe.skipIf(!has('postgres'))('a real PostgreSQL', () => {
  it('is good with and without a login, by each kind of password, and bad when it is stopped', async () => {
    const hba = [
      'host all postgres 127.0.0.1/32 trust',
      'host all md5user 127.0.0.1/32 md5',
      'host all scram 127.0.0.1/32 scram-sha-256',
      'host all plain 127.0.0.1/32 password',
    ];
    const settings = { log_min_messages: 'info', password_encryption: 'scram-sha-256' };
    const server = await keep(startPostgres({ hba, settings }));
    const { port } = server;
    await psql(port, "CREATE ROLE scram LOGIN PASSWORD 'p\u00e4ss'");
    await psql(port, "CREATE ROLE plain LOGIN PASSWORD 'open'");
    await psql(port, "SET password_encryption = 'md5'; CREATE ROLE md5user LOGIN PASSWORD 'five'");
    // Nobody is let in by that name, and the server works all the same.
    expect(await check('postgres', port)).toMatchObject({ isGood: true });
    expect(await check('postgres', port, { ...login('postgres', ''), wantsRole: true })).toEqual({
      ...{ isGood: true, text: 'is the primary', role: 'primary' },
    });
    for (const [user, password] of [
      ['scram', 'p\u00e4ss'],
      ['plain', 'open'],
      ['md5user', 'five'],
    ] as const) {
      expect(await check('postgres', port, login(user, password))).toEqual({
        ...{ isGood: true, text: `logged in as ${user}` },
      });
      expect(await check('postgres', port, login(user, 'wrong'))).toMatchObject({ isGood: false });
    }
    // As over a network, where a password is proven and not sent.
    const far = (user: string, password: string, isCleartextAllowed = false) => {
      const given = { login: { ...login(user, password).login, isCleartextAllowed } };
      return check('postgres', port, given, '0.0.0.0');
    };
    expect(await far('scram', 'p\u00e4ss')).toMatchObject({ isGood: true });
    expect(await far('md5user', 'five')).toMatchObject({ isGood: true });
    expect(await far('plain', 'open')).toEqual({
      isGood: false,
      text: 'asks for the password in clear text: not sent without TLS that is verified (health.password_cleartext)',
    });
    expect(await far('plain', 'open', true)).toMatchObject({ isGood: true });
    await expectFrozenIsBad(server, 'postgres');
  });
});

describe.skipIf(!has('memcached'))('a real memcached', () => {
  it('is good, and bad when it is stopped', async () => {
    const server = await keep(startMemcached());
    expect(await check('memcached', server.port)).toMatchObject({
      ...{ isGood: true, text: expect.stringMatching(/^VERSION 1\./) },
    });
    await expectFrozenIsBad(server, 'memcached');
  });
});

describe.skipIf(!has('mariadb'))('a real MariaDB', () => {
  it('is good with and without a login, counts no broken connection for one, and bad when stopped', async () => {
    const server = await keep(startMariadb());
    const { port } = server;
    await mysql(port, "create user up identified by 'secret'; create user bare; flush privileges");
    const aborted = async () =>
      Number((await mysql(port, "show global status like 'aborted_connects'")).split('\t')[1]);
    const before = await aborted();
    expect(await check('mysql', port, login('up', 'secret'))).toMatchObject({
      ...{ isGood: true, text: expect.stringContaining('logged in as up') },
    });
    expect(await check('mysql', port, login('bare', ''))).toMatchObject({ isGood: true });
    expect(await aborted()).toBe(before);
    expect(await check('mysql', port)).toMatchObject({
      ...{ isGood: true, text: expect.stringContaining('answers') },
    });
    expect(await check('mysql', port, login('up', 'wrong'))).toMatchObject({ isGood: false });
    await mysql(port, 'set global max_connections = 10');
    await expectFrozenIsBad(server, 'mysql');
  });
});
