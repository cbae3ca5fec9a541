// The probe against real sockets: of this process, of a process that is none of ours and shares its
// port by SO_REUSEPORT, and of one whose command line is ours.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { parseListen } from '../../src/model/listener.ts';
import { probeAddress } from '../../src/supervisor/port-probe.ts';
import { freePorts } from '../support/ports.ts';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

const folder = (): string => {
  const path = mkdtempSync(join(tmpdir(), 'upriver-probe-'));
  ends.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
};

async function listen(where: object): Promise<Server> {
  const server = createServer();
  ends.push(() => server.close());
  server.listen(where);
  await once(server, 'listening');
  return server;
}

/** A process that runs a program of this name and shares the port. */
async function share(name: string, port: number): Promise<ChildProcess> {
  const program = join(folder(), name);
  const options = JSON.stringify({ host: '127.0.0.1', port, reusePort: true });
  writeFileSync(
    program,
    `require('net').createServer().listen(${options}, () => process.stdout.write('open'))`,
  );
  const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] });
  ends.push(() => child.kill('SIGKILL'));
  await once(child.stdout!, 'data');
  return child;
}

const probe = (text: string) => probeAddress(parseListen(text)!);

describe('an address', () => {
  it('that nobody has is free, and stays so', async () => {
    const [port] = await freePorts(1);
    expect(await probe(`127.0.0.1:${port}`)).toBe('');
    expect(await probe(`:${port}`)).toBe('');
    await listen({ port, host: '127.0.0.1' });
  });

  it.each(['127.0.0.1', '0', '[::]', 'localhost', '127.1', '[::ffff:127.0.0.1]'])(
    'that another process shares by SO_REUSEPORT is taken: %s',
    async (host) => {
      const [port] = (await freePorts(1)) as [number];
      await share('proxy.cjs', port);
      expect(await probe(`${host}:${port}`)).toBe('another process');
    },
  );

  it.runIf(process.platform === 'linux')('that another Upriver shares is free', async () => {
    const [port] = (await freePorts(1)) as [number];
    await share('upriver.cjs', port);
    expect(await probe(`127.0.0.1:${port}`)).toBe('');
    // But not where a third one shares it too.
    await share('proxy.cjs', port);
    expect(await probe(`127.0.0.1:${port}`)).toBe('another process');
  });

  it.runIf(process.platform === 'linux')('that this process has is free', async () => {
    const [port] = (await freePorts(1)) as [number];
    await listen({ port, host: '127.0.0.1' });
    expect(await probe(`:${port}`)).toBe('');
  });

  it('that can not be opened at all is left to who opens it', async () => {
    expect(await probe('192.0.2.1:8000')).toBe('');
  });
});

describe('a port of UDP', () => {
  const probeUdp = (host: string, port: number) => probeAddress({ kind: 'udp', host, port });

  /** Another process, as a program of this name, that has the port, alone or not. */
  async function bind(name: string, port: number, reusePort: boolean): Promise<void> {
    const program = join(folder(), name);
    const text = `const s = require('dgram').createSocket({ type: 'udp4', reusePort: ${reusePort} });
      s.bind(${port}, '127.0.0.1', () => process.stdout.write('open'))`;
    writeFileSync(program, text);
    const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] });
    ends.push(() => child.kill('SIGKILL'));
    await once(child.stdout!, 'data');
  }

  it.each([true, false])('that another process has is taken; shared: %s', async (isShared) => {
    const [port] = (await freePorts(1)) as [number];
    expect(await probeUdp('127.0.0.1', port)).toBe('');
    await bind('server.cjs', port, isShared);
    expect(await probeUdp('127.0.0.1', port)).toBe('another process');
    expect(await probeUdp('', port)).toBe('another process');
    expect(await probeUdp('127.0.0.2', port)).toBe('');
  });

  it.runIf(process.platform === 'linux')('that another Upriver shares is free', async () => {
    const [port] = (await freePorts(1)) as [number];
    await bind('upriver.cjs', port, true);
    expect(await probeUdp('127.0.0.1', port)).toBe('');
    await bind('server.cjs', port, true);
    expect(await probeUdp('127.0.0.1', port)).toBe('another process');
  });

  it('has nothing to do with the same port of TCP', async () => {
    const [port] = (await freePorts(1)) as [number];
    await listen({ port, host: '127.0.0.1' });
    expect(await probeUdp('127.0.0.1', port)).toBe('');
    const [other] = (await freePorts(1)) as [number];
    await bind('server.cjs', other, false);
    expect(await probe(`127.0.0.1:${other}`)).toBe('');
  });
});

describe('a unix socket', () => {
  it('is free where nothing is, and where nobody listens any more', async () => {
    const path = join(folder(), 'a.sock');
    expect(await probe(path)).toBe('');
    const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    await once(spawn(process.execPath, ['-e', script]), 'exit');
    expect(await probe(path)).toBe('');
  });

  it('is taken where somebody listens, and where a file is that is none', async () => {
    const path = join(folder(), 'a.sock');
    await listen({ path });
    expect(await probe(path)).toBe('another process');
    const file = join(folder(), 'b');
    writeFileSync(file, '');
    expect(await probe(file)).toBe('a file that is no socket');
  });
});
