// `npm start`, followed as a reader of the README follows it: the lines that it prints are carried
// out as they are printed.
import { execFile } from 'node:child_process';
import { createServer, type Server } from 'node:net';
import { promisify } from 'node:util';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freePorts } from '../support/ports.ts';
import { spawnUpriver, type UpriverProcess } from '../support/upriver.ts';

const run = promisify(execFile);
const EXIT_MS_MAX = 10_000;

const running: UpriverProcess[] = [];
const taken: Server[] = [];

function start(...args: readonly string[]): UpriverProcess {
  const upriver = spawnUpriver(['dev', ...args], {});
  running.push(upriver);
  return upriver;
}

/** What `pattern` finds in the output, as soon as it is there. */
async function printed(upriver: UpriverProcess, pattern: RegExp): Promise<string> {
  await expect.poll(upriver.output, { interval: 20 }).toMatch(pattern);
  return pattern.exec(upriver.output())![1]!;
}

/** Carries out a printed line by the shell, as the reader would. */
async function shell(line: string): Promise<string> {
  return (await run('bash', ['-c', line.replace(/^curl/, 'curl -sS')])).stdout;
}

/** The names that answer when the service is called so often. */
async function answering(call: string, times = 12): Promise<string[]> {
  const answers = await Promise.all(Array.from({ length: times }, () => shell(call)));
  return [...new Set(answers.map((text) => /^Name: (.+)$/m.exec(text)?.[1] ?? text))].sort();
}

afterEach(async () => {
  for (const upriver of running.splice(0)) await upriver.stop();
  for (const server of taken.splice(0)) server.close();
});

describe('upriver dev', () => {
  let hasCurl = true;
  beforeAll(async () => {
    hasCurl = await run('curl', ['--version']).then(
      () => true,
      () => false,
    );
  });

  it('does what it says', async ({ skip }) => {
    if (!hasCurl) skip('curl is not here');
    const upriver = start();
    const call = await printed(upriver, /^ +(curl http:\S+)$/m);
    expect(await answering(call)).toEqual(['whoami-1', 'whoami-2']);

    // Its third endpoint, on a port that is free here.
    const [port] = await freePorts(1);
    const printedPort = await printed(upriver, /-- dev whoami-3 (\d+)/);
    const third = start('whoami-3', String(port));
    await printed(third, /(whoami-3 answers on)/);
    const register = await printed(upriver, /^ +(curl .*\/register)$/m);
    await shell(register.replace(`"Port":${printedPort}`, `"Port":${port}`));
    await expect.poll(() => answering(call)).toEqual(['whoami-1', 'whoami-2', 'whoami-3']);

    const stats = await printed(upriver, /^ +(http:\S+\/stats)$/m);
    const page = await fetch(stats);
    expect(page.status).toBe(200);
    expect(await page.text()).toContain('whoami-3');
    expect((await fetch(stats.replace(/\/stats$/, '/readyz'))).status).toBe(200);

    await shell(await printed(upriver, /^ +(curl .*\/deregister\/whoami-3)$/m));
    await expect.poll(() => answering(call)).toEqual(['whoami-1', 'whoami-2']);

    expect(upriver.output(), 'nothing to complain of').not.toMatch(/^\S+ (?:WARN|ERROR)/m);
    third.signal('SIGINT');
    upriver.signal('SIGINT');
    const codes = await Promise.all([third.exited, upriver.exited]);
    expect(codes, upriver.output()).toEqual([0, 0]);
    await expect(fetch(stats)).rejects.toThrow();
  });

  it('says which port is taken, and uses the next', async () => {
    for (const port of [8500, 8000, 1936]) {
      const server = createServer();
      taken.push(server);
      // What is taken by another already is as good.
      await new Promise<void>((resolve) => {
        server.once('error', () => resolve());
        server.listen(port, '0.0.0.0', () => resolve());
      });
    }
    const upriver = start();
    const stats = await printed(upriver, /^ +(http:\S+\/stats)$/m);
    for (const port of [8500, 8000, 1936]) {
      expect(upriver.output()).toMatch(new RegExp(`port ${port} is in use; .+ instead`));
    }
    expect((await fetch(stats)).status).toBe(200);
    const service = await printed(upriver, /curl (http:\S+)$/m);
    expect(await (await fetch(service)).text()).toMatch(/^Name: whoami-[12]$/m);
  });

  it('ends soon, with requests open', async () => {
    const upriver = start();
    const service = await printed(upriver, /curl (http:\S+)$/m);
    const open = await fetch(service);
    const startMs = performance.now();
    upriver.signal('SIGINT');
    expect(await upriver.exited).toBe(0);
    expect(performance.now() - startMs).toBeLessThan(EXIT_MS_MAX);
    await open.text().catch(() => '');
  });

  it('refuses a port that is none', async () => {
    const upriver = start('whoami-9', 'high');
    expect(await upriver.exited).toBe(2);
    expect(upriver.output()).toContain("'high': expected a port");
  });

  it('says it when the port of an endpoint is taken', async () => {
    const server = createServer();
    taken.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const upriver = start('whoami-9', String(port));
    expect(await upriver.exited).toBe(1);
    expect(upriver.output()).toContain(`port ${port}`);
    expect(upriver.output()).not.toContain('    at ');
  });
});
