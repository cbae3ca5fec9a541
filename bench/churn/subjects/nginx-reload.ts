// nginx, its configuration rendered and reloaded by the loop at every change of the registry.
import { join } from 'node:path';
import { findNginx, ownPlaces } from '../../against/nginx.ts';
import { loopCommand } from '../loop-command.ts';
import { RESPONSE_TIMEOUT_MS, type Subject } from '../subject.ts';

export const nginxReload: Subject = {
  name: 'nginx + reload',
  find: () => `nginx ${findNginx().version}`,
  prepare: (place) => loopCommand('nginx', place),
};

/** With a zone a list without servers is valid, and answers 502. */
export function renderNginx(servers: readonly string[], port: number, folder: string): string {
  const places = ownPlaces(join(folder, 'nginx'));
  const lines = servers.map((one) => `    server ${one} max_fails=1 fail_timeout=10s;`);
  return `${places.main}
worker_processes 1; worker_rlimit_nofile 16000;
events { worker_connections 8000; }
http {
  ${places.http}
  access_log off; keepalive_requests 100000000;
  upstream web {
    zone web 1m; least_conn;
${lines.join('\n')}
    keepalive 100;
  }
  map $http_upgrade $connection_field { default upgrade; '' ''; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Connection $connection_field;
    proxy_set_header Upgrade $http_upgrade;
    proxy_connect_timeout ${RESPONSE_TIMEOUT_MS}ms;
    location / { proxy_pass http://web; proxy_read_timeout ${RESPONSE_TIMEOUT_MS}ms; }
    location /ws { proxy_pass http://web; proxy_read_timeout 1h; }
  }
}
`;
}
