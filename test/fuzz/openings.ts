// Fuzz targets of what a connection may begin with: a PROXY protocol header, a ClientHello.
import { ok } from 'node:assert/strict';
import { isIP } from 'node:net';
import {
  HEADER_BYTES_MAX,
  readProxyHeader,
  writeV1,
  writeV2,
} from '../../src/proxy/proxy-protocol/proxy-header.ts';
import { CLIENT_HELLO_BYTES_MAX, readClientHello } from '../../src/proxy/tls/client-hello.ts';
import type { FuzzTarget } from './target.ts';

const client = {
  source: { address: '192.0.2.1', port: 4711 },
  destination: { address: '198.51.100.2', port: 443 },
  tls: null,
};
const six = {
  source: { address: '2001:db8::1', port: 4711 },
  destination: { address: '2001:db8::2', port: 443 },
  tls: {
    ...{ version: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256', hasCertificate: true },
    ...{ serverName: 'db.example.com', protocol: 'h2' },
  },
};

const text = (bytes: Buffer) => bytes.toString('latin1');

const proxyHeader: FuzzTarget = {
  name: 'proxy-header',
  seeds: [client, six].flatMap((one) => [text(writeV1(one)), text(writeV2(one))]),
  morsels: [
    'PROXY ',
    'TCP4',
    'TCP6',
    'UNKNOWN',
    '\r\n',
    ' ',
    '0',
    '65536',
    '::',
    '255',
    '\x21\x11',
    '\x20\0',
    '\0\0',
    '\xff\xff',
  ],
  check: (input) => {
    const bytes = Buffer.from(input, 'latin1');
    const read = readProxyHeader(bytes);
    if (read.kind === 'partial')
      ok(bytes.length < HEADER_BYTES_MAX, 'waits for more than it takes');
    if (read.kind !== 'whole') return;
    ok(read.length <= bytes.length && read.length <= HEADER_BYTES_MAX, 'longer than what came');
    ok(read.peer === null || isIP(read.peer.address) !== 0, 'an address that is none');
    const again = readProxyHeader(bytes.subarray(0, read.length));
    ok(again.kind === 'whole' && again.length === read.length, 'what follows has a say');
    ok(
      readProxyHeader(bytes.subarray(0, read.length - 1)).kind === 'partial',
      'complete too early',
    );
  },
};

/** A ClientHello with a server name and ALPN. */
function helloSeed(name: string): string {
  const names = Buffer.concat([Buffer.from([0, 0, name.length]), Buffer.from(name)]);
  const list = Buffer.concat([Buffer.from([0, names.length]), names]);
  const alpn = Buffer.from('\0\x0c\x02h2\x08http/1.1', 'latin1');
  const extension = (type: number, body: Buffer) =>
    Buffer.concat([Buffer.from([0, type, 0, body.length]), body]);
  const all = Buffer.concat([extension(0, list), extension(16, alpn)]);
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32),
    Buffer.from([0, 0, 2, 0x13, 1, 1, 0, 0, all.length]),
    all,
  ]);
  const message = Buffer.concat([Buffer.from([1, 0, 0, body.length]), body]);
  return text(Buffer.concat([Buffer.from([22, 3, 1, 0, message.length]), message]));
}

const clientHello: FuzzTarget = {
  name: 'client-hello',
  seeds: [helloSeed('db.example.com'), helloSeed('a')],
  morsels: ['\x16\x03\x01', '\x01\0\0', '\0\0', '\0\x10', '\xff\xff', 'example', '.', '\x03\x03'],
  check: (input) => {
    const bytes = Buffer.from(input, 'latin1');
    const read = readClientHello(bytes);
    if (read.kind === 'partial') {
      ok(read.needed > bytes.length && read.needed <= CLIENT_HELLO_BYTES_MAX, 'asks for too much');
    }
    if (read.kind === 'hello') ok(/^[0-9a-z_.-]{0,253}$/.test(read.serverName), 'an odd name');
  },
};

export const openingTargets: readonly FuzzTarget[] = [proxyHeader, clientHello];
