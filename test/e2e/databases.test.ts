// Real servers behind TCP services: what people run through such a balancer, and that it survives the
// end of one of two servers.
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseStage } from '../support/database-stage.ts';
import {
  callTool,
  has,
  program,
  psql,
  redis,
  type ServerProcess,
  startPostgres,
  startRedis,
  startTool,
} from '../support/databases.ts';

let stage: DatabaseStage;

beforeEach(() => {
  stage = new DatabaseStage();
});
afterEach(() => stage.close());

/** With an endpoint that its check has found up. */
async function serve(servers: readonly ServerProcess[], settings: string): Promise<number> {
  const port = await stage.serve(servers, settings);
  await stage.upriver!.waitForLog((line) => line.to === 'up', 'an endpoint is up');
  return port;
}

/** A tool that goes on, and everything that it has said. */
function talk(...given: Parameters<typeof startTool>): {
  said: () => string;
  say(text: string): void;
} {
  const tool = startTool(...given);
  let said = '';
  for (const stream of [tool.stdout, tool.stderr]) {
    stream?.on('data', (bytes) => {
      said += bytes;
    });
  }
  stage.ends.push(async () => {
    if (tool.exitCode !== null) return;
    tool.kill('SIGKILL');
    await once(tool, 'exit');
  });
  return { said: () => said, say: (text) => void tool.stdin?.write(text) };
}

describe.skipIf(!has('redis'))('Redis', () => {
  it('does redis-benchmark, publishes, and wakes a client that is blocked', async () => {
    const server = await stage.keep(startRedis());
    const port = await serve([server], 'health.type=redis,health.interval=500ms');
    const at = ['-h', '127.0.0.1', '-p', `${port}`];
    const figures = await callTool('redis', 'redis-benchmark', [
      ...[...at, '-n', '4000', '-c', '20', '-P', '4', '-t', 'set,get,lpush,lrange_100', '--csv'],
    ]);
    expect(figures).toMatch(/"SET","[\d.]+"/);
    expect(figures).toMatch(/"LRANGE_100[^"]*","[\d.]+"/);
    const blocked = talk('redis', 'redis-cli', [...at, 'BLPOP', 'queue', '0']);
    const subscribed = talk('redis', 'redis-cli', [...at, 'SUBSCRIBE', 'news']);
    await expect.poll(() => subscribed.said()).toContain('subscribe');
    await expect.poll(() => redis(server.port, 'INFO', 'clients')).toContain('blocked_clients:1');
    await redis(port, 'RPUSH', 'queue', 'woken');
    await expect.poll(() => blocked.said()).toContain('woken');
    await redis(port, 'PUBLISH', 'news', 'told');
    await expect.poll(() => subscribed.said()).toContain('told');
  });
});

describe.skipIf(!has('postgres'))('PostgreSQL', () => {
  const check = 'health.type=postgres,health.user=postgres,health.interval=300ms';

  it('listens for what is notified, and moves a large table both ways', async () => {
    const server = await stage.keep(startPostgres());
    const port = await serve([server], check);
    const args = ['-h', '127.0.0.1', '-p', `${port}`, '-U', 'postgres', '-XAtq', 'postgres'];
    const listening = talk('postgres', 'psql', args);
    listening.say("LISTEN news; SELECT 'listening';\n");
    await expect.poll(() => listening.said()).toContain('listening');
    await psql(port, "NOTIFY news, 'told'");
    listening.say('SELECT 1;\n');
    await expect.poll(() => listening.said()).toContain('told');
    await psql(
      port,
      'CREATE TABLE big AS SELECT i, md5(i::text) AS t FROM generate_series(1, 100000) i',
    );
    const sum = "SELECT md5(string_agg(t, '' ORDER BY i)) FROM ";
    const copied = `COPY big TO STDOUT`;
    const bytes = await callTool('postgres', 'psql', [...args, '-c', copied]);
    await psql(port, 'CREATE TABLE again (LIKE big)');
    const back = talk('postgres', 'psql', [...args, '-c', 'COPY again FROM STDIN']);
    back.say(bytes);
    back.say('\\.\n');
    await expect.poll(() => psql(server.port, 'SELECT count(*) FROM again')).toBe('100000');
    expect(await psql(port, `${sum} again`)).toBe(await psql(port, `${sum} big`));
  });

  it('goes on with pgbench on the other server while one is killed', async () => {
    const servers = [await stage.keep(startPostgres()), await stage.keep(startPostgres())];
    const { path } = program('postgres', 'pgbench');
    expect(path).not.toBe('');
    const local = (port: number) => ['-h', '127.0.0.1', '-p', `${port}`, '-U', 'postgres'];
    for (const { port } of servers) {
      await callTool('postgres', 'pgbench', ['-i', '-q', '-s', '1', ...local(port), 'postgres']);
    }
    const port = await serve(servers, `${check},tcp.on_down=close`);
    const select = ['-n', '-S', '-C', '-c', '4', '-T', '1'];
    await callTool('postgres', 'pgbench', [...select, ...local(port), 'postgres']);
    await servers[0]!.kill();
    // Each transaction connects anew: those that meet the dead one are placed on the other.
    const figures = await callTool('postgres', 'pgbench', [...select, ...local(port), 'postgres']);
    expect(figures).toMatch(/number of failed transactions: 0 /);
    const id = `127.0.0.1:${servers[0]!.port}`;
    await stage.upriver!.waitForLog(
      (line) => line.endpoint === id && (line.to === 'down' || line.to === 'ejected'),
      'the dead one is out',
    );
  });
});
