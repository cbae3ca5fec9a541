// Whether the other end of a connection over loopback is a socket of this very process: then a request
// on it came through our own data plane, whatever address, name or field led it here. The kernel's tables
// tell the socket of that end, and the process's descriptors whether it is ours (proc(5)).
import { readdir, readFile, readlink } from 'node:fs/promises';
import { type IpBytes, parseIp } from '../base/ip-address.ts';

/** A connection of the stats port, as this side sees it. */
export interface PeerAddress {
  readonly address: string;
  readonly port: number;
  /** Our own port. */
  readonly localPort: number;
}

/** `gone`: the other end has closed, so that nobody can be asked about it. */
export type PeerOwner = 'ours' | 'other' | 'gone';

const TABLES = ['/proc/self/net/tcp', '/proc/self/net/tcp6'];

/** Whose the other end is; 'other' where the system does not tell. */
export async function ownerOfPeer(peer: PeerAddress): Promise<PeerOwner> {
  const tables = await Promise.all(
    TABLES.map((path) => readFile(path, 'latin1').catch(() => null)),
  );
  if (tables.every((table) => table === null)) return 'other';
  const inode = inodeOf(peer, tables.join('\n'));
  if (inode === '' || inode === '0') return 'gone';
  return (await hasDescriptorOf(inode)) ? 'ours' : 'other';
}

/** The inode of the socket at the other end; '' where there is none on this machine. */
export function inodeOf({ address, port, localPort }: PeerAddress, tables: string): string {
  const wanted = parseIp(address);
  const ports = `:${hexOf(port)} `;
  for (const line of tables.split('\n')) {
    if (wanted === null || !line.includes(ports)) continue;
    // sl local_address rem_address st tx:rx tr:when retransmits uid timeout inode
    const [, local = '', remote = '', , , , , , , inode = ''] = line.trim().split(/\s+/);
    const [host = '', localHex] = local.split(':');
    if (localHex !== hexOf(port) || !remote.endsWith(`:${hexOf(localPort)}`)) continue;
    const found = ipOf(host);
    if (found !== null && Buffer.compare(found, wanted) === 0) return inode;
  }
  return '';
}

async function hasDescriptorOf(inode: string): Promise<boolean> {
  const folder = '/proc/self/fd';
  const wanted = `socket:[${inode}]`;
  const names = await readdir(folder).catch(() => []);
  const links = await Promise.all(
    names.map((name) => readlink(`${folder}/${name}`).catch(() => '')),
  );
  return links.includes(wanted);
}

function hexOf(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0');
}

/** An address of the tables: each 32 bits in the order of the machine's bytes. */
function ipOf(hex: string): IpBytes | null {
  const bytes = Buffer.from(hex, 'hex');
  if (bytes.length !== 4 && bytes.length !== 16) return null;
  if (IS_LITTLE_ENDIAN) bytes.swap32();
  return bytes.length === 4 ? parseIp(bytes.join('.')) : Uint8Array.from(bytes);
}

const IS_LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;
