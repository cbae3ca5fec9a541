// An endpoint that fails beside peers that do not, while its health check is green: the real program
// with real endpoints, asked at a constant rate. What is waited for are lines of the log and counts
// of answers.
import { createServer, type Server } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { type Load, startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { spawnUpriver, startUpriver, type UpriverProcess } from '../support/upriver.ts';

let upriver: UpriverProcess | null = null;
let load: Load | null = null;
const servers: Server[] = [];

afterEach(async () => {
  await load?.stop();
  load = null;
  await upriver?.stop();
  upriver = null;
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

/** What an endpoint does with its `n`-th request; its check is always answered with 200. */
interface Endpoint {
  readonly id: string;
  status: (n: number) => number;
  delayMs: number;
  /** Answers that were no 200. */
  failed: number;
}

async function listen(): Promise<Endpoint> {
  const endpoint = { id: '', status: () => 200, delayMs: 0, failed: 0 } satisfies Endpoint;
  const its: Endpoint = endpoint;
  let count = 0;
  const server = createServer((request, response) => {
    if (request.url === '/health') {
      response.end('ok');
      return;
    }
    count += 1;
    const status = its.status(count);
    if (status !== 200) its.failed += 1;
    const answer = (): void => {
      response.writeHead(status, { 'x-endpoint': its.id }).end('answer\n');
    };
    if (its.delayMs > 0) setTimeout(answer, its.delayMs);
    else answer();
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  return Object.assign(its, { id: `127.0.0.1:${port}` });
}

interface Stage {
  readonly endpoints: readonly Endpoint[];
  readonly url: string;
  readonly load: Load;
}

/** So many good endpoints with checks behind the program, all up, and 250 requests a second. */
async function open(count: number, settings = ''): Promise<Stage> {
  const endpoints = await Promise.all(Array.from({ length: count }, listen));
  const [port] = (await freePorts(1)) as [number];
  const addresses = endpoints.map(({ id }) => id).join(',');
  const check = 'health.path=/health,health.interval=200ms,health.rise=1';
  const service = `web=127.0.0.1:${port},${check}${settings}`;
  upriver = await startUpriver({ args: ['--static', `web=${addresses}`, '--service', service] });
  await expect.poll(async () => (await figures()).every(({ state }) => state === 'up')).toBe(true);
  const url = `http://127.0.0.1:${port}/`;
  load = startLoad({ url, perSecond: 250, timeoutMs: 15_000 });
  await load.next(500);
  return { endpoints, url, load };
}

interface Figures {
  readonly id: string;
  readonly state: string;
  readonly reason: string;
  readonly stays: string;
  readonly comparison: { readonly evidence: number; readonly peers: number } | null;
}

async function figures(): Promise<readonly Figures[]> {
  const response = await fetch(`${upriver!.statsUrl}/api/v1/services/web`);
  return ((await response.json()) as { readonly endpoints: readonly Figures[] }).endpoints;
}

/** The line of the log that says that this endpoint is out. */
function ejected({ id }: Endpoint): Promise<{ readonly [field: string]: unknown }> {
  return upriver!.waitForLog(
    (line) => line.endpoint === id && line.to === 'ejected',
    `${id} is ejected`,
  );
}

const ejections = (): number => upriver!.log.filter((line) => line.to === 'ejected').length;

/** What `upriver explain web` prints. */
async function explain(): Promise<string> {
  const { host } = new URL(upriver!.statsUrl);
  const told = spawnUpriver(['explain', 'web', '--stats', host], {});
  expect(await told.exited).toBe(0);
  return told.output();
}

/** Requests one after the other, at most 250 a second. */
function startPace(url: string) {
  let answered = 0;
  let failed = 0;
  let isOver = false;
  const run = async (): Promise<void> => {
    for (; !isOver; answered += 1) {
      const slot = new Promise((resolve) => setTimeout(resolve, 4));
      const response = await fetch(url);
      await response.arrayBuffer();
      if (!response.ok) failed += 1;
      await slot;
    }
  };
  const running = run();
  return {
    async next(count: number): Promise<void> {
      const until = answered + count;
      await expect.poll(() => answered, { interval: 5 }).toBeGreaterThan(until);
    },
    /** Returns how many failed. */
    async stop(): Promise<number> {
      isOver = true;
      await running;
      return failed;
    },
  };
}

describe('an endpoint that answers 500 to everything while its check is green', () => {
  it('is out after 30 failures at the most, one of four at 250 requests a second', async () => {
    const stage = await open(4);
    const [bad] = stage.endpoints as [Endpoint];
    // From here on nothing is caught up on: where the machine stalls, no burst of requests follows.
    await stage.load.stop();
    const pace = startPace(stage.url);
    await pace.next(250);
    bad.status = () => 500;
    const { reason } = await ejected(bad);
    // What was under way when it was decided.
    await pace.next(20);
    const { failed } = bad;
    expect(failed).toBeLessThanOrEqual(30);
    expect(reason).toMatch(
      /^\d+ of \d+ requests failed within \d\.\d s, 0 of \d+ of its 3 peers' \(evidence 10\^\d+\)$/,
    );
    await pace.next(250);
    expect(bad.failed).toBe(failed);
    // The one request that was under way when it was put out may have been served by another.
    const seen = await pace.stop();
    expect([failed - 1, failed]).toContain(seen);
    expect(await explain()).toContain(`state     ejected (${String(reason)})`);
  });

  it('is out beside a single peer too', async () => {
    const stage = await open(2);
    const bad = stage.endpoints[1]!;
    bad.status = () => 503;
    await ejected(bad);
    await stage.load.next(250);
    expect(ejections()).toBe(1);
  });

  it('stays when all fail alike, and explain says so', async () => {
    const stage = await open(4);
    for (const endpoint of stage.endpoints) endpoint.status = () => 500;
    await stage.load.next(1000);
    expect(ejections()).toBe(0);
    expect(await explain()).toMatch(/stays +its peers do not do much better: \d+ of \d+ failed/);
  });

  it('stays where max_ejected allows no more, and explain says so', async () => {
    const stage = await open(4, ',passive.max_ejected=25%,passive.ejection=1m');
    const [first, second] = stage.endpoints as [Endpoint, Endpoint];
    first.status = () => 500;
    await ejected(first);
    second.status = () => 500;
    const why = 'passive.max_ejected is 25%: 1 of 4 endpoints are ejected';
    await upriver!.waitForLog(({ reason }) => reason === `not ejected: ${why}`, 'it stays');
    const told = await explain();
    expect(told).toMatch(new RegExp(`stays +\\d+ of \\d+ requests failed .*; not ejected: ${why}`));
    expect(told).toContain(`up -> up  not ejected: ${why}`);
    expect(told).toMatch(/compared +\d+ of \d+ requests failed within [\d.]+ s, \d+ of \d+ of its/);
  });

  it('is not compared with hash balancing, where the errors may be those of one client', async () => {
    const stage = await open(3, ',balance=hash(source)');
    for (const endpoint of stage.endpoints) endpoint.status = () => 500;
    await stage.load.next(300);
    expect(ejections()).toBe(0);
    expect(await explain()).toContain('not compared with its peers: with balance hash');
  });
});

describe('an endpoint that poisons slowly', () => {
  it('with 5 % of errors is found within the window', async () => {
    const stage = await open(4);
    const bad = stage.endpoints[2]!;
    bad.status = (n) => (n % 20 === 0 ? 500 : 200);
    const { reason } = await ejected(bad);
    expect(reason).toMatch(/^\d+ of \d+ requests failed within [\d.]+ s, 0 of \d+ of its 3 peers'/);
    expect(ejections()).toBe(1);
  });
});

describe('an endpoint that turns slow', () => {
  it('is found where that is asked for', async () => {
    const stage = await open(4, ',passive.latency.enabled=true,balance=round-robin');
    const bad = stage.endpoints[3]!;
    // Far above three times what its peers take on a machine that is busy with other programs.
    bad.delayMs = 2000;
    const { reason } = await ejected(bad);
    expect(reason).toMatch(/^\d+ of \d+ answers took longer than \d+ ms within/);
    expect(stage.load.failures).toEqual([]);
  });

  it('goes on getting its share where it is not', async () => {
    const stage = await open(2, ',balance=round-robin');
    stage.endpoints[0]!.delayMs = 300;
    await stage.load.next(1000);
    expect(ejections()).toBe(0);
  });
});
