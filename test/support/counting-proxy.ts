import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';

/** A plain relay to a port of this machine that counts connections. */
export interface CountingProxy {
  readonly port: number;
  /** The most that were open at once. */
  readonly openMax: number;
  stop(): Promise<void>;
}

export async function startCountingProxy(to: number): Promise<CountingProxy> {
  const open = new Set<Socket>();
  let openMax = 0;
  const server = createServer((client) => {
    const upstream = connect(to, '127.0.0.1');
    open.add(client);
    openMax = Math.max(openMax, open.size);
    client.pipe(upstream).pipe(client);
    const end = (): void => {
      open.delete(client);
      client.destroy();
      upstream.destroy();
    };
    client.on('error', end).on('close', end);
    upstream.on('error', end).on('close', end);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get openMax() {
      return openMax;
    },
    stop: async () => {
      for (const client of open) client.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
