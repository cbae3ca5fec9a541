// Tables as the kernel writes them (Documentation/networking/proc_net_tcp), and real sockets.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { parseListen } from '../../src/model/listener.ts';
import { parseTable, SharedPorts, type SystemTables } from '../../src/supervisor/shared-ports.ts';
import { freePorts } from '../support/ports.ts';

const HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
const row = (local: string, state: string, inode: number) =>
  `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 100 0 0 10 0`;

const TCP = [
  HEAD,
  row('0100007F:1F40', '0A', 11),
  row('00000000:1F41', '0A', 12),
  row('0100007F:1F40', '01', 13),
].join('\n');
const TCP6 = [
  HEAD,
  row('00000000000000000000000000000000:1F41', '0A', 14),
  row('0000000000000000FFFF00000100007F:1F42', '0A', 15),
].join('\n');

function looking(listen: readonly string[]) {
  const logged: string[] = [];
  const say = (level: string) => (fields: object, text: string) =>
    void logged.push(`${level} ${JSON.stringify(fields)} ${text}`);
  const log = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };
  const tables: SystemTables = {
    table: (path) => (path.endsWith('6') ? TCP6 : TCP),
    socketsOf: (pid) => {
      if (pid === 'self') return ['12', '99'];
      if (pid === 1) throw new Error('EACCES');
      return pid === 7 ? ['11', '14'] : [];
    },
    pids: () => [1, 7, 8],
  };
  const addresses = listen.map((text) => parseListen(text)!);
  return { logged, ports: new SharedPorts(() => addresses, log, tables) };
}

it('reads the sockets of UDP that are connected to nobody', () => {
  const table = [
    HEAD,
    row('0100007F:1F40', '01', 21),
    row('0100007F:1F40', '07', 22),
    row('0100007F:1F41', '01', 23),
    row('00000000:0035', '07', 24),
  ].join('\n');
  expect(parseTable(table, 'udp')).toEqual([
    { host: '127.0.0.1', port: 8000, inode: '22' },
    { host: '', port: 53, inode: '24' },
  ]);
});

it('looks for the port of UDP among those of UDP', () => {
  const asked: string[] = [];
  const tables: SystemTables = {
    table: (path) => {
      asked.push(path);
      return [HEAD, row('00000000:1F40', path.endsWith('udp') ? '07' : '01', 31)].join('\n');
    },
    socketsOf: (pid) => (pid === 7 ? ['31'] : []),
    pids: () => [7],
  };
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  const udp = { kind: 'udp', host: '', port: 8000 } as const;
  expect(new SharedPorts(() => [udp], silent, tables).look(true)).toEqual([
    { listen: ':8000/udp', pid: 7 },
  ]);
  asked.length = 0;
  expect(new SharedPorts(() => [{ ...udp, kind: 'tcp' }], silent, tables).look(true)).toEqual([]);
  expect(asked.some((path) => path.includes('udp'))).toBe(false);
});

it('reads the sockets that listen', () => {
  expect(parseTable(TCP)).toEqual([
    { host: '127.0.0.1', port: 8000, inode: '11' },
    { host: '', port: 8001, inode: '12' },
  ]);
  expect(parseTable(TCP6)).toEqual([
    { host: '', port: 8001, inode: '14' },
    { host: '127.0.0.1', port: 8002, inode: '15' },
  ]);
});

it.each([
  ['127.0.0.1:8000', [{ listen: '127.0.0.1:8000', pid: 7 }]],
  [':8000', [{ listen: ':8000', pid: 7 }]],
  ['127.0.0.2:8000', []],
  ['10.0.0.1:8001', [{ listen: '10.0.0.1:8001', pid: 7 }]],
  // Nobody whose sockets we may see has it.
  [':8002', [{ listen: ':8002', pid: null }]],
  [':8003', []],
  ['/run/upriver.sock', []],
])('a listener on %s is shared with %j', (listen, expected) => {
  expect(looking([listen]).ports.look(false)).toEqual(expected);
});

it('says it once, and in an upgrade as no warning', () => {
  const { logged, ports } = looking([':8000']);
  ports.look(false);
  ports.look(false);
  expect(logged).toEqual([expect.stringMatching(/^warn .*"by":7.* another process listens/)]);
  const upgrade = looking([':8000']);
  upgrade.ports.look(true);
  expect(upgrade.logged).toEqual([expect.stringMatching(/^info .*"by":7/)]);
});

it.runIf(process.platform === 'linux')(
  'finds a real process, and not our own sockets',
  async () => {
    const [port = 0] = await freePorts(1);
    const own = createServer().listen({ port, host: '127.0.0.1', reusePort: true });
    await once(own, 'listening');
    onTestFinished(() => void own.close());
    const silent = { debug() {}, info() {}, warn() {}, error() {} };
    const address = parseListen(`127.0.0.1:${port}`)!;
    const ports = new SharedPorts(() => [address], silent);
    expect(ports.look(false)).toEqual([]);
    const script = `require('net').createServer().listen({port:${port},host:'127.0.0.1',reusePort:true},()=>console.log('up'))`;
    const other = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void other.kill('SIGKILL'));
    await once(other.stdout!, 'data');
    expect(ports.look(false)).toEqual([{ listen: `127.0.0.1:${port}`, pid: other.pid }]);
    other.kill('SIGKILL');
    await once(other, 'exit');
    expect(ports.look(false)).toEqual([]);
  },
);
