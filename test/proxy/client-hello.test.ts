// The ClientHello: read however it is cut into records and segments, refused where it is none. What
// Node's own TLS sends is what real clients send.
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { type ConnectionOptions, connect } from 'node:tls';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { CLIENT_HELLO_BYTES_MAX, readClientHello } from '../../src/proxy/tls/client-hello.ts';

/** What a TLS client says first. */
async function helloOf(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const client = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
  client.on('error', () => {});
  const [socket] = (await once(server, 'connection')) as [Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}

let hello: Buffer;
let message: Buffer;

beforeAll(async () => {
  hello = await helloOf({ servername: 'DB.Example.com', ALPNProtocols: ['h2', 'http/1.1'] });
  message = hello.subarray(5);
});

const expected = { kind: 'hello', serverName: 'db.example.com', protocols: ['h2', 'http/1.1'] };

/** The message in records of these lengths; the last takes the rest. */
function inRecords(bytes: Buffer, lengths: readonly number[]): Buffer {
  const records: Buffer[] = [];
  let at = 0;
  for (let i = 0; at < bytes.length; i += 1) {
    const end = Math.min(bytes.length, at + (lengths[i] ?? bytes.length));
    const head = Buffer.from([22, 3, 1, 0, 0]);
    head.writeUInt16BE(end - at, 3);
    records.push(head, bytes.subarray(at, end));
    at = end;
  }
  return Buffer.concat(records);
}

describe('a ClientHello', () => {
  it('names server and protocols', async () => {
    expect(readClientHello(hello)).toEqual(expected);
    expect(readClientHello(await helloOf({ maxVersion: 'TLSv1.2', servername: 'a.test' }))).toEqual(
      {
        ...{ kind: 'hello', serverName: 'a.test', protocols: [] },
      },
    );
    expect(readClientHello(await helloOf({}))).toMatchObject({ kind: 'hello', serverName: '' });
  });

  it('is the same in any number of records, with anything behind it', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 40 }),
        fc.uint8Array({ maxLength: 20 }),
        (lengths, rest) => {
          const bytes = Buffer.concat([inRecords(message, lengths), rest]);
          expect(readClientHello(bytes)).toEqual(expected);
        },
      ),
    );
  });

  it('is awaited, never asked to be longer than it is, while any of it is missing', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 20 }),
        fc.nat(),
        (lengths, at) => {
          const whole = inRecords(message, lengths);
          const cut = whole.subarray(0, at % whole.length);
          const read = readClientHello(cut);
          expect(read.kind).toBe('partial');
          if (read.kind !== 'partial') return;
          expect(read.needed).toBeGreaterThan(cut.length);
          expect(read.needed).toBeLessThanOrEqual(whole.length);
        },
      ),
    );
  });

  it.each([
    ['GET / HTTP/1.1\r\n', 'plain'],
    ['SSH-2.0-x\r\n', 'plain'],
    ['\x80\x2e\x01\x03\x01', 'plain'],
    ['\x15\x03\x01\0\x02\x02\x28', 'plain'],
    ['\x16\x02\0\0\x05', 'bad'],
    ['\x16\x03\x01\0\0', 'bad'],
    ['\x16\x03\x01\x40\x01', 'bad'],
    ['\x16\x03\x01\0\x04\x02\0\0\0', 'bad'],
    ['\x16\x03\x01\0\x04\x01\x10\0\0', 'bad'],
    ['\x16\x03\x01\0\x02\x01\0\x17\x03\x03', 'bad'],
    ['\x16\x03\x01\0\x05\x01\0\0\x01\x03', 'bad'],
  ])('is none: %j is %s', (bytes, kind) => {
    expect(readClientHello(Buffer.from(bytes, 'latin1')).kind).toBe(kind);
  });

  it('in too many records is refused', () => {
    expect(readClientHello(inRecords(message, new Array(200).fill(1)))).toMatchObject({
      ...{ kind: 'bad', why: 'the ClientHello lies in too many records' },
    });
  });

  it('with one byte changed or any bytes at all is answered within bounds', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.nat(255),
        fc.option(fc.uint8Array({ maxLength: 400 })),
        (at, byte, any) => {
          const bytes =
            any === null ? Buffer.from(hello) : Buffer.concat([hello.subarray(0, 12), any]);
          bytes[at % bytes.length] = byte;
          const read = readClientHello(bytes);
          if (read.kind === 'partial') {
            expect(read.needed).toBeGreaterThan(bytes.length);
            expect(read.needed).toBeLessThanOrEqual(CLIENT_HELLO_BYTES_MAX);
          }
          if (read.kind === 'hello') expect(read.serverName).toMatch(/^[0-9a-z_.-]*$/);
        },
      ),
      { numRuns: 3000 },
    );
  });
});
