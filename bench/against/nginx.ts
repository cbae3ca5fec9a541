import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findTool, type Tool, type ToolSource } from '../tools.ts';
import type { Program, Setup } from './program.ts';

const SOURCE: ToolSource = {
  ...{ name: 'nginx', versionArgs: ['-v'], file: '/usr/sbin/nginx' },
  packages: ['nginx', 'libpcre2-8-0', 'libssl3', 'zlib1g', 'libnginx-mod-stream'],
};

export function findNginx(): Tool {
  return findTool(SOURCE);
}

const STREAM = 'usr/lib/nginx/modules/ngx_stream_module.so';

/** The module of datagrams: a package of its own, beside the program's or fetched as that is. */
function streamModule({ path }: Tool): string {
  const root = path.endsWith('/usr/sbin/nginx') ? path.slice(0, -'usr/sbin/nginx'.length) : '/';
  if (existsSync(join(root, STREAM))) return join(root, STREAM);
  return findTool({ ...SOURCE, name: 'ngx_stream_module.so', file: `/${STREAM}` }).path;
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
  speaks: ['http1', 'h2', 'grpc', 'websocket', 'udp'],
  speaksTls: true,
  find: findNginx,
  prepare(tool, setup) {
    const path = join(setup.folder, 'nginx.conf');
    const isUdp = setup.protocol === 'udp';
    writeFileSync(path, isUdp ? datagrams(setup, streamModule(tool)) : configuration(setup));
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

/** As `configuration`, for datagrams: sessions are counted, and end, as ours do. */
function datagrams(setup: Setup, module: string): string {
  const { port, endpoints, connections, folder, responses } = setup;
  const servers = endpoints.map((one) => `server 127.0.0.1:${one};`).join(' ');
  const expected = responses === 'any' ? '' : `proxy_responses ${responses};`;
  return `load_module ${module}; ${ownPlaces(folder).main} master_process off;
worker_processes 1; worker_rlimit_nofile ${connections * 2};
events { worker_connections ${connections * 2}; }
stream {
  upstream b { least_conn; ${servers} }
  server { listen 127.0.0.1:${port} udp; proxy_pass b; proxy_timeout 30s; ${expected} }
}
`;
}
