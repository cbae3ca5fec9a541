// The endpoints: one nginx that listens on as many ports as asked for, with small and large answers.
// What takes a request's body as a whole before it answers is /upload: `return` answers before, and a proxy
// may close the client's connection then.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findNginx, ownPlaces } from './against/nginx.ts';
import { makeCertificate } from './certificate.ts';
import { LOAD_CORE, type Running, startPinned } from './pinned.ts';

const BODY_BYTES = 100;

/** `isTls`: with a certificate of its own. */
export function startOrigin(
  ports: readonly number[],
  folder: string,
  isTls = false,
): Promise<Running> {
  const files = join(folder, 'files');
  mkdirSync(files, { recursive: true });
  writeFileSync(join(files, '64k'), Buffer.alloc(64 * 1024, 'x'));
  writeFileSync(join(files, '1m'), Buffer.alloc(1024 * 1024, 'x'));
  const places = ownPlaces(folder);
  const path = join(folder, 'nginx.conf');
  const answers = join(folder, 'answers.sock');
  // Of another case, whose endpoints were killed.
  rmSync(answers, { force: true });
  const certificate = isTls ? makeCertificate(folder) : '';
  writeFileSync(
    path,
    `${places.main} master_process off;
events { worker_connections 16384; }
http {
  ${places.http}
  upstream answers { server unix:${answers}; keepalive 64; keepalive_requests 100000000; }
  access_log off; keepalive_requests 100000000; keepalive_timeout 300s;
  server {
    ${ports.map((port) => `listen 127.0.0.1:${port}${isTls ? ' ssl' : ''};`).join(' ')}
    ${isTls ? `ssl_certificate ${certificate}; ssl_certificate_key ${certificate};` : ''}
    ${isTls ? 'ssl_protocols TLSv1.3;' : ''}
    listen unix:${answers};
    location / { return 200 "${'x'.repeat(BODY_BYTES - 1)}\\n"; }
    location /upload {
      client_body_buffer_size 1m; proxy_pass http://answers/; proxy_pass_request_body off;
      proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Content-Length "";
      proxy_method GET;
    }
    location /files/ { root ${folder}; }
  }
}
`,
  );
  const { path: file, env } = findNginx();
  const args = ['-e', join(folder, 'error.log'), '-c', path];
  return startPinned({ cores: LOAD_CORE, file, args, env, port: ports[0]! });
}
