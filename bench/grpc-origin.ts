// Endpoints of gRPC: nghttpd, one for each port, which answers with a message of 105 bytes and a status
// in its trailers.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LOAD_CORE, type Running, startPinned } from './pinned.ts';
import { findTool } from './tools.ts';

export async function startGrpcOrigin(ports: readonly number[], folder: string): Promise<Running> {
  mkdirSync(folder, { recursive: true });
  const message = Buffer.concat([Buffer.from([0, 0, 0, 0, 100]), Buffer.alloc(100, 'a')]);
  writeFileSync(join(folder, 'answer'), message);
  const types = join(folder, 'mime.types');
  writeFileSync(types, '');
  const { path: file, env } = findTool({
    ...{ name: 'nghttpd', versionArgs: ['--version'], file: '/usr/sbin/nghttpd' },
    packages: ['nghttp2-server', 'libnghttp2-14', 'libev4', 'libjansson4', 'libssl3'],
  });
  const all: Running[] = [];
  for (const port of ports) {
    const args = ['--no-tls', '-d', folder, '--trailer', 'grpc-status: 0', '-a', '127.0.0.1'];
    const command = { cores: LOAD_CORE, file, args: [...args, String(port)], env, port };
    all.push(await startPinned(command));
  }
  return {
    pid: all[0]!.pid,
    stop: async () => {
      await Promise.all(all.map((one) => one.stop()));
    },
  };
}
