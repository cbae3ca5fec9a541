// Whether another process has an address. Workers open listeners with SO_REUSEPORT, which fails for
// an address that a process has alone, and shares it with one of the same user that shares its own:
// a second Upriver during an upgrade, but any other proxy as well. So the address is opened alone
// first; where that fails, the kernel's tables say whether all who have it are Uprivers.
import { createSocket } from 'node:dgram';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { connect, createServer, isIP } from 'node:net';
import { codeOf } from '../base/coded-error.ts';
import type { ListenAddress } from '../model/listener.ts';

const TAKEN = 'another process';
/** `node .../cli/upriver.ts run`: the program is among the first words of a command line. */
const PROGRAM = /(^|\/)upriver(\.[cm]?[jt]s)?$/;
const WORDS = 4;

/**
 * Who has the address, human-readable; '' where it is free, or shared by Uprivers. What can't be
 * opened for another reason is free: opening it for good says why.
 */
export async function probeAddress(address: ListenAddress): Promise<string> {
  if (address.kind === 'unix') return probeSocket(address.path);
  const open = address.kind === 'udp' ? bindAlone : openAlone;
  if ((await open(address)) !== 'EADDRINUSE') return '';
  return (await isHeldByUprivers(address)) ? '' : TAKEN;
}

/** The error's code; '' where it could be opened. */
function openAlone({ host, port }: { host: string; port: number }): Promise<string> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error) => resolve(codeOf(error)));
    const options = { port, exclusive: true, ...(host === '' ? {} : { host }) };
    server.listen(options, () => server.close(() => resolve('')));
  });
}

/** The same for a port of UDP; a name is looked up by whoever opens it for good. */
function bindAlone({ host, port }: { host: string; port: number }): string {
  if (host !== '' && isIP(host) === 0) return '';
  const addresses = host === '' ? ['0.0.0.0', '::'] : [host];
  for (const address of addresses) {
    const isV6 = isIP(address) === 6;
    const socket = createSocket({ type: isV6 ? 'udp6' : 'udp4', ipv6Only: isV6 });
    try {
      socket.bindSync({ address, port });
    } catch (error) {
      if (codeOf(error) === 'EADDRINUSE') return 'EADDRINUSE';
    } finally {
      socket.close();
    }
  }
  return '';
}

/** Only a socket that nobody listens on any more, and that is ours, may be taken. */
async function probeSocket(path: string): Promise<string> {
  try {
    const found = await lstat(path);
    if (!found.isSocket()) return 'a file that is no socket';
    if (found.uid !== process.getuid?.()) return 'a socket of another user';
  } catch {
    return '';
  }
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(TAKEN);
    });
    probe.once('error', (error) => resolve(codeOf(error) === 'ECONNREFUSED' ? '' : TAKEN));
  });
}

async function isHeldByUprivers(place: { kind: 'tcp' | 'udp'; port: number }): Promise<boolean> {
  const left = await listeningInodes(place);
  if (left.size === 0) return false;
  for (const pid of ['self', ...(await uprivers())]) {
    for (const inode of await socketsOf(pid)) left.delete(inode);
    if (left.size === 0) return true;
  }
  return false;
}

/** Inodes of the sockets that listen on this port, on whatever address. */
async function listeningInodes(place: { kind: 'tcp' | 'udp'; port: number }): Promise<Set<string>> {
  const { kind, port } = place;
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const tables = await Promise.all(
    [kind, `${kind}6`].map((name) => read(`/proc/self/net/${name}`)),
  );
  const inodes = new Set<string>();
  for (const line of tables.join('\n').split('\n')) {
    // sl local_address rem_address st ... uid timeout inode (proc(5)); 0A is LISTEN, 07 unconnected UDP.
    const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
    if (state === (kind === 'udp' ? '07' : '0A') && local.endsWith(suffix)) inodes.add(inode);
  }
  return inodes;
}

/** Pids of the processes that run this program, as their command lines say. */
async function uprivers(): Promise<string[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const found: string[] = [];
  for (const pid of pids) {
    const words = (await read(`/proc/${pid}/cmdline`)).split('\0').slice(0, WORDS);
    if (words.some((word) => PROGRAM.test(word))) found.push(pid);
  }
  return found;
}

async function socketsOf(pid: string): Promise<string[]> {
  const folder = `/proc/${pid}/fd`;
  const names = await readdir(folder).catch(() => []);
  const links = await Promise.all(
    names.map((name) => readlink(`${folder}/${name}`).catch(() => '')),
  );
  return links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []);
}

function read(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
