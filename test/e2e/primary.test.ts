// `select: primary` with real servers under load: who is promoted gets the traffic, and nothing that
// is written reaches the old primary after the table has changed.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ConsulAgent, hasConsul, startConsul } from '../support/consul.ts';
import { DatabaseStage } from '../support/database-stage.ts';
import {
  has,
  program,
  promote,
  psql,
  redis,
  type ServerProcess,
  startPostgres,
  startPostgresIn,
  startRedis,
  startTool,
} from '../support/databases.ts';
import { freePorts } from '../support/ports.ts';
import { type LogLine, startUpriver } from '../support/upriver.ts';

let stage: DatabaseStage;

beforeEach(() => {
  stage = new DatabaseStage();
});
afterEach(() => stage.close());

const follow = (servers: readonly ServerProcess[], settings: string) =>
  stage.serve(servers, `select=primary,${settings}`);

const idOf = (server: ServerProcess) => `127.0.0.1:${server.port}`;

/** The next time that the table says who is the primary; '' for none. */
function primaryIs(id: string, after?: LogLine): Promise<LogLine> {
  return stage.upriver!.waitForLog(
    (line) =>
      (line.msg === 'primary changed' || line.msg.startsWith('no primary')) &&
      line.endpoint === id &&
      (after === undefined || stage.upriver!.log.indexOf(line) > stage.upriver!.log.indexOf(after)),
    `the primary is '${id}'`,
  );
}

/** Writes over one connection after the other, without a pause, until it is ended. */
class RedisWriter {
  acknowledged = 0;
  cuts = 0;
  private isOver = false;
  private socket: Socket | null = null;
  private readonly port: number;

  constructor(port: number) {
    this.port = port;
    void this.run();
  }

  end(): void {
    this.isOver = true;
    this.socket?.destroy();
  }

  private async run(): Promise<void> {
    while (!this.isOver) {
      const socket = connect(this.port, '127.0.0.1');
      this.socket = socket;
      socket.on('error', () => {});
      socket.on('connect', () => socket.write('SET key value\r\n'));
      socket.on('data', (bytes: Buffer) => {
        if (bytes.includes('+OK')) this.acknowledged += 1;
        setImmediate(() => socket.write('SET key value\r\n'));
      });
      await once(socket, 'close').catch(() => {});
      this.cuts += 1;
    }
  }
}

interface Write {
  /** ms since the epoch. */
  readonly atMs: number;
  /** The port that it came from: of its primary where it is copied. */
  readonly from: number;
}

/** The writes that come to a Redis, as it tells itself. */
async function monitor(server: ServerProcess): Promise<Write[]> {
  const tool = startTool('redis', 'redis-cli', ['-p', `${server.port}`, 'MONITOR']);
  stage.ends.push(() => void tool.kill('SIGKILL'));
  const writes: Write[] = [];
  const lines = createInterface({ input: tool.stdout! });
  lines.on('line', (line) => {
    const match = /^(\d+\.\d+) \[\d+ [^\]]*:(\d+)\] "SET" "key"/.exec(line);
    if (match !== null) writes.push({ atMs: Number(match[1]) * 1000, from: Number(match[2]) });
  });
  await once(lines, 'line');
  return writes;
}

/** What was sent before a worker had the table may arrive so much later. */
const LIVE_MS_MAX = 500;

describe.skipIf(!has('redis'))('two real Redis', () => {
  it('promoted and demoted under load: no write reaches the old primary', async () => {
    const [one, other] = [await stage.keep(startRedis()), await stage.keep(startRedis())];
    // A replica that takes writes all the same: what is sent to it is seen.
    for (const { port } of [one, other]) {
      await redis(port, 'CONFIG', 'SET', 'replica-read-only', 'no');
    }
    await redis(other.port, 'REPLICAOF', '127.0.0.1', `${one.port}`);
    const port = await follow([one, other], 'health.type=redis,health.interval=200ms');
    const writes = new Map([
      [one, await monitor(one)],
      [other, await monitor(other)],
    ]);
    let last = await primaryIs(idOf(one));
    const writers = Array.from({ length: 8 }, () => new RedisWriter(port));
    stage.ends.push(() => {
      for (const writer of writers) writer.end();
    });
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      await expect.poll(() => writes.get(from)!.length).toBeGreaterThan(200);
      const cuts = writers.map((writer) => writer.cuts);
      await redis(to.port, 'REPLICAOF', 'NO', 'ONE');
      await redis(from.port, 'REPLICAOF', '127.0.0.1', `${to.port}`);
      last = await primaryIs(idOf(to), last);
      // A worker has the table a moment after it is logged, and cuts what leads elsewhere then.
      await expect.poll(() => writers.every((writer, i) => writer.cuts > cuts[i]!)).toBe(true);
      const changedMs = Date.now();
      const before = writes.get(to)!.length;
      await expect.poll(() => writes.get(to)!.length).toBeGreaterThan(before + 500);
      const late = writes
        .get(from)!
        .filter((one) => one.atMs > changedMs + LIVE_MS_MAX && one.from !== to.port);
      expect(late).toEqual([]);
      writes.get(from)!.length = 0;
    }
    expect(writers.every(({ cuts }) => cuts >= 2)).toBe(true);
  });

  it('that both say they are the primary get nothing, which is said', async () => {
    const [one, other] = [await stage.keep(startRedis()), await stage.keep(startRedis())];
    const port = await follow([one, other], 'health.type=redis,health.interval=200ms');
    const reason = `2 endpoints are the primary: ${idOf(one)} and ${idOf(other)}`;
    await stage.upriver!.waitForLog((line) => line.reason === reason, 'two primaries');
    await expect(redis(port, 'PING')).rejects.toThrow();
    const response = await fetch(`${stage.upriver!.statsUrl}/api/v1/services/db`);
    const { endpoints, problems } = (await response.json()) as {
      endpoints: { reason: string }[];
      problems: string[];
    };
    expect(endpoints.map((endpoint) => endpoint.reason)).toEqual([
      `no primary: ${reason}`,
      `no primary: ${reason}`,
    ]);
    expect(problems).toContain(`no primary: ${reason}`);
    await redis(other.port, 'REPLICAOF', '127.0.0.1', `${one.port}`);
    await primaryIs(idOf(one));
    await expect.poll(() => redis(port, 'PING').catch(() => '')).toBe('PONG');
  });
});

/** pgbench again and again: its clients end with their connections. */
class Inserts {
  private tool: ChildProcess | null = null;
  private isOver = false;

  constructor(port: number, script: string) {
    void this.run(port, script);
  }

  async end(): Promise<void> {
    this.isOver = true;
    const { tool } = this;
    if (tool === null || tool.exitCode !== null) return;
    tool.kill('SIGKILL');
    await once(tool, 'exit');
  }

  private async run(port: number, script: string): Promise<void> {
    const { path, env } = program('postgres', 'pgbench');
    const args = ['-n', '-c', '4', '-T', '30', '-f', script, '-h', '127.0.0.1', '-p', `${port}`];
    while (!this.isOver) {
      this.tool = spawn(path, [...args, '-U', 'postgres', 'postgres'], { env, stdio: 'ignore' });
      await once(this.tool, 'exit');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

describe.skipIf(!has('postgres'))('two real PostgreSQL', () => {
  const rowsOf = async ({ port }: ServerProcess) =>
    Number(await psql(port, 'SELECT count(*) FROM written'));
  const writersOf = async ({ port }: ServerProcess) => {
    const sessions = "FROM pg_stat_activity WHERE application_name = 'pgbench'";
    return Number(await psql(port, `SELECT count(*) ${sessions}`));
  };

  it('promoted and demoted under load: no write reaches the old primary', async () => {
    const one = await stage.keep(startPostgres());
    await psql(one.port, 'CREATE TABLE written (id serial, at timestamptz default now())');
    const other = await stage.keep(startPostgres({ replicaOf: one.port }));
    const check = 'health.type=postgres,health.user=postgres,health.interval=200ms';
    const port = await follow([one, other], check);
    const first = await primaryIs(idOf(one));
    const script = join(one.folder, 'insert.sql');
    writeFileSync(script, 'INSERT INTO written DEFAULT VALUES;\n');
    const inserts = new Inserts(port, script);
    stage.ends.push(() => inserts.end());
    await expect.poll(() => rowsOf(one)).toBeGreaterThan(100);

    // While both can be written to, neither is.
    await promote(other);
    const none = await primaryIs('', first);
    // The sessions that were cut have ended in the servers too, with what they had begun.
    let looks = 0;
    const quietLooks = async () => {
      const writers = (await writersOf(one)) + (await writersOf(other));
      looks = writers === 0 ? looks + 1 : 0;
      return looks;
    };
    await expect.poll(quietLooks).toBeGreaterThan(3);
    const [oneRows, otherRows] = [await rowsOf(one), await rowsOf(other)];
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect([await rowsOf(one), await rowsOf(other)]).toEqual([oneRows, otherRows]);

    // The old one comes back as a replica, and the new one gets everything.
    await one.kill();
    writeFileSync(join(one.folder, 'data', 'standby.signal'), '');
    const back = await startPostgresIn(one.folder, one.port);
    stage.ends.push(() => back.kill());
    await primaryIs(idOf(other), none);
    await expect.poll(() => rowsOf(other)).toBeGreaterThan(otherRows + 100);
    expect(await rowsOf(back)).toBe(oneRows);
  });
});

describe.skipIf(!hasConsul || !has('redis'))("a lock and a tag in Consul's hands", () => {
  let agent: ConsulAgent;

  it('name the primary', async () => {
    const servers = [await stage.keep(startRedis()), await stage.keep(startRedis())];
    agent = await startConsul();
    stage.ends.push(() => agent.stop());
    for (const [i, { port }] of servers.entries()) {
      await redis(port, 'SET', 'name', `db${i}`);
      const Tags = i === 0 ? ['main'] : [];
      await agent.register({ Name: 'db', ID: `db${i}`, Address: '127.0.0.1', Port: port, Tags });
    }
    const [byLock, byTag] = (await freePorts(2)) as [number, number];
    const lock = 'service/db/leader';
    stage.upriver = await startUpriver({
      args: [
        ...['--consul', agent.url, '--service'],
        `locked=127.0.0.1:${byLock},protocol=tcp,from.service=db,select=primary,primary.lock=${lock}`,
        ...['--service'],
        `tagged=127.0.0.1:${byTag},protocol=tcp,from.service=db,select=primary,primary.tag=main`,
      ],
    });
    const nameAt = (port: number) => redis(port, 'GET', 'name').catch(() => '');
    await expect.poll(() => nameAt(byTag)).toBe('db0');
    await stage.upriver.waitForLog(
      (line) => line.service === 'locked' && line.reason === `the lock ${lock} is not held`,
      'the lock is not held',
    );
    await expect(redis(byLock, 'PING')).rejects.toThrow();
    for (const holder of ['db1', 'db0']) {
      const { ID } = (await agent.put('/v1/session/create', { LockDelay: '0s' })) as { ID: string };
      const url = `${agent.url}/v1/kv/${lock}?acquire=${ID}`;
      expect(await (await fetch(url, { method: 'PUT', body: holder })).json()).toBe(true);
      await expect.poll(() => nameAt(byLock)).toBe(holder);
      await agent.put(`/v1/session/destroy/${ID}`);
      await expect.poll(() => nameAt(byLock)).toBe('');
      await fetch(`${agent.url}/v1/kv/${lock}`, { method: 'DELETE' });
    }
    // The tag goes over to the other.
    for (const [i, { port }] of servers.entries()) {
      const Tags = i === 1 ? ['main'] : [];
      await agent.register({ Name: 'db', ID: `db${i}`, Address: '127.0.0.1', Port: port, Tags });
    }
    await expect.poll(() => nameAt(byTag)).toBe('db1');
  });
});
