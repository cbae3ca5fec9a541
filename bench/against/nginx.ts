import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findTool, type Tool } from '../tools.ts';
import type { Program, Setup } from './program.ts';

export function findNginx(): Tool {
  return findTool({
    ...{ name: 'nginx', versionArgs: ['-v'], file: '/usr/sbin/nginx' },
    packages: ['nginx', 'libpcre2-8-0', 'libssl3', 'zlib1g'],
  });
}

/** Where it may write: none of the places that a package would have made. */
export function ownPlaces(folder: string): { main: string; http: string } {
  mkdirSync(folder, { recursive: true });
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return {
    main: `daemon off; pid ${folder}/pid; error_log ${folder}/error.log;`,
    http: kinds.map((kind) => `${kind}_temp_path ${folder}/${kind};`).join(' '),
  };
}

export const nginx: Program = {
  name: 'nginx',
  hasWorkers: true,
  speaks: ['http1', 'h2', 'grpc', 'websocket'],
  speaksTls: true,
  find: findNginx,
  prepare(tool, setup) {
    const path = join(setup.folder, 'nginx.conf');
    writeFileSync(path, configuration(setup));
    const args = ['-e', join(setup.folder, 'error.log'), '-c', path];
    return { file: tool.path, args, env: tool.env, metricsUrl: '' };
  },
};

function configuration(setup: Setup): string {
  const { port, endpoints, workers, accessLog, connections, folder, protocol, certificate } = setup;
  const isTls = certificate !== '';
  const isHttp2 = protocol === 'h2' || protocol === 'grpc';
  const places = ownPlaces(folder);
  const servers = endpoints.map((one) => `server 127.0.0.1:${one};`).join(' ');
  // One worker needs no master; more do.
  const master = workers === 1 ? 'master_process off;' : '';
  const log = accessLog === '' ? 'off' : accessLog;
  return `${places.main} ${master}
worker_processes ${workers}; worker_rlimit_nofile ${connections * 2};
events { worker_connections ${connections * 2}; }
http {
  ${places.http}
  access_log ${log}; keepalive_requests 100000000;
  upstream b { ${workers === 1 ? '' : 'zone b 4m; '}least_conn; ${servers} keepalive 256; keepalive_requests 100000000; }
  ${isTls ? `ssl_certificate ${certificate}; ssl_certificate_key ${certificate};` : ''}
  server {
    listen 127.0.0.1:${port} backlog=4096${workers === 1 ? '' : ' reuseport'}${isTls ? ' ssl' : ''}${isHttp2 ? ' http2' : ''};
    location / {
      ${protocol === 'grpc' ? 'grpc_pass grpc://b;' : 'proxy_pass http://b;'} proxy_http_version 1.1;
      ${
        protocol === 'websocket'
          ? 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection Upgrade;'
          : 'proxy_set_header Connection "";'
      }
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto http; proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header X-Forwarded-Host $http_host;
    }
  }
}
`;
}
