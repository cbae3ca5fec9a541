// The endpoints: one nginx that listens on as many ports as asked for, with small and large answers.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findNginx, ownPlaces } from './against/nginx.ts';
import { LOAD_CORE, type Running, startPinned } from './pinned.ts';

const BODY_BYTES = 100;

export function startOrigin(ports: readonly number[], folder: string): Promise<Running> {
  const files = join(folder, 'files');
  mkdirSync(files, { recursive: true });
  writeFileSync(join(files, '64k'), Buffer.alloc(64 * 1024, 'x'));
  writeFileSync(join(files, '1m'), Buffer.alloc(1024 * 1024, 'x'));
  const places = ownPlaces(folder);
  const path = join(folder, 'nginx.conf');
  writeFileSync(
    path,
    `${places.main} master_process off;
events { worker_connections 16384; }
http {
  ${places.http}
  access_log off; keepalive_requests 100000000; keepalive_timeout 300s;
  server {
    ${ports.map((port) => `listen 127.0.0.1:${port};`).join(' ')}
    location / { return 200 "${'x'.repeat(BODY_BYTES - 1)}\\n"; }
    location /files/ { root ${folder}; }
  }
}
`,
  );
  const { path: file, env } = findNginx();
  const args = ['-e', join(folder, 'error.log'), '-c', path];
  return startPinned({ cores: LOAD_CORE, file, args, env, port: ports[0]! });
}
