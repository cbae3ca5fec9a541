// A listener on every address answers from the one that was asked, also on one that came later.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, expect, it } from 'vitest';
import { silentLogger } from '../../../src/base/log.ts';
import type { DatagramReceiver } from '../../../src/proxy/datagrams.ts';
import { localAddresses } from '../../../src/proxy/wire/local-addresses.ts';
import { makeNodeDatagrams } from '../../../src/proxy/wire/node-datagrams.ts';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** Answers with the name of the address that was asked. */
const naming: DatagramReceiver = {
  onDatagram: (_, address, port, via) => via.reply(Buffer.from(via.name), address, port),
};

async function serve(addresses: () => readonly string[]): Promise<number> {
  const datagrams = makeNodeDatagrams(silentLogger, { addresses, everyMs: 10 });
  const server = await datagrams.listen({ host: '', port: 0, receiver: naming });
  ends.push(() => server.close());
  return server.port;
}

/** A client that takes answers from this address alone. */
async function ask(address: string, port: number): Promise<string> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  ends.push(() => socket.close());
  socket.connectSync(port, address);
  const answer = once(socket, 'message') as Promise<[Buffer]>;
  socket.send('?');
  const [bytes] = await answer;
  return bytes.toString();
}

it('answers from the address that was asked', async () => {
  const all = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];
  const port = await serve(() => all);
  for (const address of all) expect(await ask(address, port)).toBe(address);
});

it('answers from an address that comes later, and goes and comes again', async () => {
  let all = ['127.0.0.1'];
  const port = await serve(() => all);
  expect(await ask('127.0.0.1', port)).toBe('127.0.0.1');
  for (let i = 0; i < 2; i += 1) {
    all = ['127.0.0.1', '127.0.0.77'];
    // From any address until then.
    const named = async () => {
      const socket = createSocket('udp4');
      ends.push(() => socket.close());
      // What waits in a socket that closes is lost.
      const asking = setInterval(() => socket.send('?', port, '127.0.0.77'), 20);
      const [bytes] = (await once(socket, 'message')) as [Buffer];
      clearInterval(asking);
      return String(bytes);
    };
    await expect.poll(named).toBe('127.0.0.77');
    expect(await ask('127.0.0.77', port)).toBe('127.0.0.77');
    all = ['127.0.0.1'];
    await expect.poll(named).toBe('0.0.0.0');
  }
});

it('has one socket for all where there are very many', async () => {
  const many = Array.from({ length: 65 }, (_, i) => `127.0.1.${i + 1}`);
  const port = await serve(() => many);
  expect(await ask('127.0.0.1', port)).toBe('0.0.0.0');
});

it('of this machine are known, those of a link left out', async () => {
  expect(localAddresses()).toContain('127.0.0.1');
  expect(localAddresses().filter((one) => one.startsWith('fe80'))).toEqual([]);
  const port = await serve(localAddresses);
  for (const address of localAddresses()) expect(await ask(address, port)).toBe(address);
});
