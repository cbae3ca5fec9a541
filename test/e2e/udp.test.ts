// The whole program in front of UDP: real DNS servers, `logger` from the system, servers that are killed
// and stopped under load, an upgrade, and instances of UDP in Consul.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, it } from 'vitest';
import { startConsul } from '../support/consul.ts';
import { freePorts } from '../support/ports.ts';
import { type StartOptions, startUpriver, type UpriverProcess } from '../support/upriver.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

interface DnsServer {
  readonly port: number;
  readonly child: ChildProcess;
}

/** A DNS server that answers with this address, on a port that nobody else is given when it is gone. */
async function dnsServer(address: string): Promise<DnsServer> {
  const [port] = await freePorts(1);
  const main = join(import.meta.dirname, '..', 'support', 'dns-server-main.ts');
  const child = spawn(process.execPath, [main, address, `${port}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanups.push(() => child.kill('SIGKILL'));
  const [line] = (await once(createInterface({ input: child.stdout! }), 'line')) as [string];
  // Its own line.
  return { port: (JSON.parse(line) as { port: number }).port, child };
}

async function start(options: StartOptions): Promise<UpriverProcess> {
  const upriver = await startUpriver(options);
  cleanups.push(() => upriver.stop());
  return upriver;
}

/** One try, so that a datagram that is lost is a failure. */
function resolverAt(port: number): Resolver {
  const resolver = new Resolver({ timeout: 4000, tries: 1 });
  resolver.setServers([`127.0.0.1:${port}`]);
  return resolver;
}

/** Asks all the time, some questions at once, each from a port of its own. */
class Questions {
  readonly byAnswer = new Map<string, number>();
  readonly failures: string[] = [];
  private isOver = false;
  private readonly done: Promise<unknown>;
  private readonly port: number;
  private waiting: (() => void)[] = [];

  constructor(port: number, atOnce = 4) {
    this.port = port;
    this.done = Promise.all(Array.from({ length: atOnce }, () => this.goOn()));
  }

  private async goOn(): Promise<void> {
    while (!this.isOver) {
      try {
        const [answer = ''] = await resolverAt(this.port).resolve4('a.test');
        this.byAnswer.set(answer, (this.byAnswer.get(answer) ?? 0) + 1);
      } catch (error) {
        this.failures.push(String(error));
      }
      for (const wake of this.waiting.splice(0)) wake();
    }
  }

  /** Until there is one more answer, or failure. */
  async next(count = 1): Promise<void> {
    for (let i = 0; i < count; i += 1)
      await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await this.done;
  }
}

interface Figures {
  readonly endpoints: readonly {
    readonly id: string;
    readonly state: string;
    readonly requests: number;
  }[];
  readonly retries: Readonly<Record<string, number>>;
  readonly reasons: Readonly<Record<string, number>>;
  readonly datagrams: { readonly in: number; readonly out: number; readonly dropped: number };
}

async function figures(upriver: UpriverProcess, name: string): Promise<Figures> {
  // The API's own shape (docs/reference/admin-api.md).
  return (await (await fetch(`${upriver.statsUrl}/api/v1/services/${name}`)).json()) as Figures;
}

/** No question is asked but those of its clients. */
const UNCHECKED = 'protocol=udp,udp.responses=1,timeouts.response=1s,passive.ejection=2s';
const service = (port: number, health = 'health.type=dns,health.interval=500ms,health.fall=2') =>
  `dns=127.0.0.1:${port},${UNCHECKED},${health}`;

describe('DNS', () => {
  it('loses no question when one server is killed and another stopped, under load', async () => {
    const servers = [];
    for (const address of ['10.0.0.1', '10.0.0.2', '10.0.0.3'])
      servers.push(await dnsServer(address));
    const [port, quietPort] = (await freePorts(2)) as [number, number];
    const places = servers.map((one) => `127.0.0.1:${one.port}`);
    const upriver = await start({
      args: [
        ...['--static', `dns=${places.join(',')}`, '--service', service(port)],
        ...['--service', `quiet=127.0.0.1:${quietPort},from.service=dns,${UNCHECKED}`],
        ...['--workers', '2'],
      ],
    });
    const questions = new Questions(port);
    while (questions.byAnswer.size < 3) await questions.next();
    const stateOf = async (i: number) =>
      (await figures(upriver, 'dns')).endpoints.find(({ id }) => id === places[i])!.state;
    /** Asks one thing at a time, and gets an answer each time, until another server had to give one. */
    const untilRetried = async (why: string) => {
      const resolver = resolverAt(quietPort);
      while (((await figures(upriver, 'quiet')).retries[why] ?? 0) === 0)
        expect(await resolver.resolve4('a.test')).toHaveLength(1);
    };
    const killed = once(servers[0]!.child, 'exit');
    servers[0]!.child.kill('SIGKILL');
    await expect.poll(() => stateOf(0)).not.toBe('up');
    // A question that waited at the killed one gets no word of it, and least-conn may pass it over until it is
    // ejected for its silence: under load nobody need be refused.
    await killed;
    await untilRetried('connect-refused');
    servers[1]!.child.kill('SIGSTOP');
    await untilRetried('response-timeout');
    await expect.poll(() => stateOf(1)).not.toBe('up');
    await questions.next(50);
    servers[1]!.child.kill('SIGCONT');
    await expect.poll(() => stateOf(1)).toBe('up');
    await questions.next(50);
    await questions.stop();
    expect(questions.failures).toEqual([]);
    const { datagrams } = await figures(upriver, 'dns');
    expect(datagrams).toMatchObject({ in: datagrams.out, dropped: 0 });
    const metrics = await (await fetch(`${upriver.statsUrl}/metrics`)).text();
    expect(metrics).toMatch(/upriver_datagrams_total\{service="dns",direction="out"\} \d{2,}/);
    expect(await (await fetch(`${upriver.statsUrl}/stats`)).text()).toContain(
      `127.0.0.1:${port}/udp`,
    );
  });

  it('of Consul itself is served, checked by its own questions', async () => {
    const [dnsPort, port] = (await freePorts(2)) as [number, number];
    const consul = await startConsul({ args: ['-dns-port', `${dnsPort}`] });
    cleanups.push(() => consul.stop());
    const health = 'health.query=consul.service.consul,health.interval=500ms';
    await start({
      args: ['--static', `dns=127.0.0.1:${dnsPort}`, '--service', service(port, health)],
    });
    const resolver = resolverAt(port);
    await expect
      .poll(() => resolver.resolve4('consul.service.consul').catch(String))
      .toEqual(['127.0.0.1']);
    const [record] = await resolver.resolveSrv('consul.service.consul');
    expect(record!.name).toBe('dev.node.dc1.consul');
  });

  it('goes on while a new process takes over', async () => {
    const server = await dnsServer('10.0.0.1');
    const [port = 0, statsPort = 0] = await freePorts(2);
    const args = [
      '--static',
      `dns=127.0.0.1:${server.port}`,
      '--service',
      service(port, 'retry.attempts=3'),
      ...['--workers', '2'],
    ];
    const first = await start({ args, statsPort });
    const questions = new Questions(port, 2);
    await questions.next(20);
    const second = await start({ args: [...args, '--takeover'], statsPort, isReady: false });
    await second.waitForLog(({ msg }) => msg === 'ready', 'that it is ready');
    await questions.next(20);
    first.signal('SIGTERM');
    expect(await first.exited).toBe(0);
    await questions.next(20);
    await questions.stop();
    // What waits in the kernel in the moment in which a worker's socket closes is lost: a few microseconds, and
    // longer where the worker has to wait for its turn just then. There are two workers.
    expect(questions.failures.length).toBeLessThanOrEqual(2);
  });
});

describe('instances in Consul', () => {
  it('with the tag udp are those of the udp service, the others those of the tcp one', async () => {
    const consul = await startConsul();
    cleanups.push(() => consul.stop());
    const server = await dnsServer('10.0.0.7');
    const [port] = (await freePorts(1)) as [number];
    const at = { Name: 'dns', Address: '127.0.0.1', Port: server.port };
    await consul.register({ ...at, ID: 'h:dns:53:udp', Tags: ['udp'] });
    await consul.register({ ...at, ID: 'h:dns:53', Port: 9 });
    const upriver = await start({
      args: [
        ...['--consul', consul.url, '--service', service(port)],
        ...['--service', `dns-tcp=127.0.0.1:${port},protocol=tcp,from.service=dns`],
      ],
    });
    const idsOf = async (name: string) =>
      (await figures(upriver, name)).endpoints.map(({ id }) => id.replace(/^.*\//, ''));
    expect(await idsOf('dns')).toEqual(['h:dns:53:udp']);
    expect(await idsOf('dns-tcp')).toEqual(['h:dns:53']);
    const resolver = resolverAt(port);
    await expect.poll(() => resolver.resolve4('x.test').catch(String)).toEqual(['10.0.0.7']);
  });
});

const LOGGER = '/usr/bin/logger';

describe('syslog', () => {
  it.skipIf(!existsSync(LOGGER))(
    'of logger is spread over the receivers, line by line',
    async () => {
      const got: string[][] = [[], []];
      const ports = got.map((lines) => {
        const socket = createSocket('udp4', (bytes) => void lines.push(bytes.toString()));
        cleanups.push(() => socket.close());
        return socket.bindSync({ address: '127.0.0.1' }).port;
      });
      const [port] = (await freePorts(1)) as [number];
      const places = ports.map((one) => `127.0.0.1:${one}`).join(',');
      await start({
        args: [
          ...['--static', `log=${places}`, '--workers', '2'],
          ...['--service', `log=127.0.0.1:${port},protocol=udp,udp.responses=0`],
        ],
      });
      for (let i = 0; i < 10; i += 1) {
        execFileSync(LOGGER, ['-d', '-n', '127.0.0.1', '-P', `${port}`, `line ${i}`]);
        // It has sent the line, and not seen it arrive: two workers that choose at once may choose the same.
        await expect.poll(() => got.flat().length).toBe(i + 1);
      }
      expect(got.map((lines) => lines.length)).toEqual([5, 5]);
      expect(got.flat().filter((line) => /line \d$/.test(line.trim())).length).toBe(10);
    },
  );
});
