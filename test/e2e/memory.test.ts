// A process that has more memory than it may: it says so, serves a few at a time, and takes
// everything again when it is told that there is more.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { SHORT_MAX } from '../../src/proxy/memory.ts';
import { startEndpoint } from '../support/endpoint.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver } from '../support/upriver.ts';

/**
 * Idle connections are closed when memory becomes short, each thread by its own look: what was sent on
 * one of them is sent again (RFC 9112 section 9.3.1).
 */
const get = (url: string): Promise<Response> => fetch(url).catch(() => fetch(url));

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

it('short of memory few requests are taken at a time, until there is enough', async () => {
  const endpoint = await startEndpoint('one');
  endings.push(() => endpoint.kill());
  const folder = mkdtempSync(join(tmpdir(), 'upriver-memory-'));
  endings.push(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'upriver.yaml');
  const [port = 0] = await freePorts(1);
  const write = (max: string) =>
    writeFileSync(
      file,
      `memory: { max: ${max} }
workers: 1
static: { web: ["127.0.0.1:${endpoint.port}"] }
services: { web: { listen: "127.0.0.1:${port}", from: { registry: static } } }
`,
    );
  write('1MiB');
  const upriver = await startUpriver({ args: ['--config', file] });
  endings.push(() => upriver.stop());
  const status = async () =>
    ((await (await get(`${upriver.statsUrl}/api/v1/status`)).json()) as { memory: unknown }).memory;
  const gauge = async () => {
    const text = await (await get(`${upriver.statsUrl}/metrics`)).text();
    return /^upriver_memory_short (\d)$/m.exec(text)?.[1];
  };
  /** How the answers to so many requests at once came out. */
  const ask = async (count: number) => {
    const one = async () => {
      const response = await get(`http://127.0.0.1:${port}/slow?ms=300`);
      await response.text();
      return response.headers.get('x-upriver-reason') ?? `${response.status}`;
    };
    const all = await Promise.all(Array.from({ length: count }, one));
    return new Map([...new Set(all)].map((key) => [key, all.filter((x) => x === key).length]));
  };

  await upriver.waitForLog(({ msg }) => msg.startsWith('memory is short'), 'memory is short');
  expect(await status()).toMatchObject({ short: true, max: 1024 ** 2 });
  expect(await gauge()).toBe('1');
  expect((await get(`${upriver.statsUrl}/healthz`)).status).toBe(200);
  expect(await ask(1)).toEqual(new Map([['200', 1]]));
  // Each worker looks for itself, within half a second of the main thread.
  const short = new Map([
    ['200', SHORT_MAX],
    ['out-of-memory', SHORT_MAX],
  ]);
  await expect.poll(() => ask(2 * SHORT_MAX)).toEqual(short);

  write('0');
  upriver.signal('SIGHUP');
  await upriver.waitForLog(({ msg }) => msg === 'memory is enough again', 'memory is enough');
  expect(await gauge()).toBe('0');
  await expect.poll(() => ask(2 * SHORT_MAX)).toEqual(new Map([['200', 2 * SHORT_MAX]]));
});
