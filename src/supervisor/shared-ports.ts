// Which of our ports other processes listen on as well. SO_REUSEPORT lets them, and the kernel then gives
// them their share of the connections: wanted during an upgrade, and a fault at any other time (a process
// that was left behind). Read from the kernel's tables: a trial bind would be in the way of another start.
// Linux only; elsewhere nothing is known and nothing is said.
import { closeSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import type { Logger } from '../base/log.ts';
import { formatListen, type ListenAddress } from '../model/listener.ts';

const TABLES = {
  tcp: ['/proc/net/tcp', '/proc/net/tcp6'],
  udp: ['/proc/net/udp', '/proc/net/udp6'],
} as const;
const LISTENING = '0A';
/** A socket of UDP that is connected to nobody: whoever wants to may send to it. */
const UNCONNECTED = '07';
const CHUNK_BYTES = 64 * 1024;
/** Of UDP the whole table is read, in which sessions have a line each. */
const TABLE_BYTES_MAX = 4 * 1024 * 1024;
/** So long what was found is said again without a look: a dashboard asks every second. */
const FRESH_MS = 5000;

export interface SharedPort {
  /** formatListen of our listener. */
  readonly listen: string;
  /** The other process; null where we may not see whose it is. */
  readonly pid: number | null;
}

/** A socket that listens. */
export interface ListeningSocket {
  readonly host: string;
  readonly port: number;
  readonly inode: string;
}

/** How the system is read; tests give their own. */
export interface SystemTables {
  /** The text of a table of sockets; throws where there is none. */
  readonly table: (path: string) => string;
  /** Inodes of the sockets that a process has open; throws where we may not look. */
  readonly socketsOf: (pid: number | 'self') => readonly string[];
  readonly pids: () => readonly number[];
}

export class SharedPorts {
  private readonly listeners: () => readonly ListenAddress[];
  private readonly log: Logger;
  private readonly tables: SystemTables;
  /** By inode: ours, or whose. */
  private known = new Map<string, 'ours' | number | null>();
  private readonly told = new Set<string>();
  private last: { readonly atMs: number; readonly found: readonly SharedPort[] } | null = null;

  constructor(
    listeners: () => readonly ListenAddress[],
    log: Logger,
    tables: SystemTables = linuxTables,
  ) {
    this.listeners = listeners;
    this.log = log;
    this.tables = tables;
  }

  /** What the last look found, or what there is now where that is older than a few seconds. */
  recent(nowMs: number, isUpgrade: boolean): readonly SharedPort[] {
    if (this.last === null || nowMs - this.last.atMs > FRESH_MS) {
      this.last = { atMs: nowMs, found: this.look(isUpgrade) };
    }
    return this.last.found;
  }

  /** Looks now. What is found is logged once: as expected (`isUpgrade`), or as a warning. */
  look(isUpgrade: boolean): readonly SharedPort[] {
    const found = this.find();
    for (const { listen, pid } of found) {
      const key = `${listen} ${pid}`;
      if (this.told.has(key)) continue;
      this.told.add(key);
      if (isUpgrade)
        this.log.info({ listen, by: pid }, 'the port is shared while the upgrade lasts');
      else
        this.log.warn({ listen, by: pid }, 'another process listens on this port and gets a share');
    }
    return found;
  }

  private find(): readonly SharedPort[] {
    const listeners = this.listeners();
    const byKind = { tcp: this.listening('tcp'), udp: [] as readonly ListeningSocket[] };
    if (listeners.some(({ kind }) => kind === 'udp')) byKind.udp = this.listening('udp');
    const near = listeners.flatMap((address) =>
      address.kind === 'unix'
        ? []
        : byKind[address.kind]
            .filter((socket) => overlaps(address, socket))
            .map((socket) => ({ address, socket })),
    );
    this.identify(near.map(({ socket }) => socket.inode));
    const found = new Map<string, SharedPort>();
    for (const { address, socket } of near) {
      const owner = this.known.get(socket.inode) ?? null;
      if (owner === 'ours') continue;
      const listen = formatListen(address);
      found.set(`${listen} ${owner}`, { listen, pid: owner });
    }
    return [...found.values()];
  }

  private listening(kind: 'tcp' | 'udp'): readonly ListeningSocket[] {
    return TABLES[kind].flatMap((path) => {
      try {
        return parseTable(this.tables.table(path), kind);
      } catch {
        return [];
      }
    });
  }

  /** Finds out whose these are. What is known is not looked for again. */
  private identify(inodes: readonly string[]): void {
    this.known = new Map(
      inodes.filter((one) => this.known.has(one)).map((one) => [one, this.known.get(one)!]),
    );
    const unknown = new Set(inodes.filter((inode) => !this.known.has(inode)));
    const take = (pid: number | 'self', owner: 'ours' | number): void => {
      if (unknown.size === 0) return;
      try {
        for (const inode of this.tables.socketsOf(pid)) {
          if (unknown.delete(inode)) this.known.set(inode, owner);
        }
      } catch {
        // It has ended, or it is another user's.
      }
    };
    take('self', 'ours');
    if (unknown.size === 0) return;
    for (const pid of this.tables.pids()) take(pid, pid);
    for (const inode of unknown) this.known.set(inode, null);
  }
}

/** The pid of a process that listens on the address; null where none is found. */
export function listenerPid(address: ListenAddress): number | null {
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  return new SharedPorts(() => [address], silent).look(true)[0]?.pid ?? null;
}

/** The listening sockets of /proc/net/tcp, tcp6, udp or udp6 (Documentation/networking/proc_net_tcp). */
export function parseTable(text: string, kind: 'tcp' | 'udp' = 'tcp'): readonly ListeningSocket[] {
  const sockets: ListeningSocket[] = [];
  for (const line of text.split('\n').slice(1)) {
    const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
    // Of TCP they come first.
    if (kind === 'tcp' && state !== LISTENING) break;
    if (kind === 'udp' && state !== UNCONNECTED) continue;
    const [host = '', port = ''] = local.split(':');
    sockets.push({ host: hostOf(host), port: Number.parseInt(port, 16), inode });
  }
  return sockets;
}

/** '' for every address; IPv4 in dots, IPv6 as it stands. Each 32 bits are in the machine's order. */
function hostOf(hex: string): string {
  if (/^0+$/.test(hex)) return '';
  const mapped = /^0{16}(?:FFFF0000|0000FFFF)([0-9A-F]{8})$/.exec(hex)?.[1];
  const bytes = (mapped ?? hex).match(/../g) ?? [];
  return bytes.length === 4
    ? bytes
        .reverse()
        .map((byte) => Number.parseInt(byte, 16))
        .join('.')
    : hex;
}

/** Whether a connection to our address could go to that socket. A name may mean any address. */
function overlaps(address: ListenAddress, socket: ListeningSocket): boolean {
  if (address.kind === 'unix' || address.port !== socket.port) return false;
  if (address.host === '' || socket.host === '') return true;
  const isIPv4 = socket.host.includes('.');
  if (/^\d+\.\d+\.\d+\.\d+$/.test(address.host)) return address.host === socket.host;
  return !(isIPv4 && address.host.includes(':'));
}

/** A line of a socket that does not listen. */
const PAST_LISTENING = /^ *\d+: \S+ \S+ (?!0A)/m;

/** A table as far as its listening sockets go, where they come first: there may be 100,000 others. */
function readHead(path: string): string {
  const fd = openSync(path, 'r');
  try {
    const isUdp = path.includes('udp');
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    let text = '';
    for (;;) {
      const bytes = readSync(fd, chunk);
      const piece = chunk.toString('latin1', 0, bytes);
      text += piece;
      const isEnough = isUdp ? text.length >= TABLE_BYTES_MAX : PAST_LISTENING.test(piece);
      if (bytes === 0 || isEnough) return text;
    }
  } finally {
    closeSync(fd);
  }
}

export const linuxTables: SystemTables = {
  table: readHead,
  socketsOf: (pid) =>
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return [];
      }
    }),
  pids: () =>
    readdirSync('/proc')
      .map(Number)
      .filter((pid) => Number.isInteger(pid) && pid > 0),
};
