import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findTool } from '../tools.ts';
import type { Program, Setup } from './program.ts';

export const haproxy: Program = {
  name: 'haproxy',
  hasWorkers: true,
  speaks: ['http1', 'h2', 'grpc', 'tcp', 'websocket'],
  speaksTls: true,
  speaksTlsBehind: true,
  find: () =>
    findTool({
      ...{ name: 'haproxy', versionArgs: ['-v'], file: '/usr/sbin/haproxy' },
      packages: [
        ...['haproxy', 'liblua5.3-0', 'libopentracing-c-wrapper0', 'libopentracing1'],
        ...['libpcre2-8-0', 'libssl3', 'libsystemd0'],
      ],
    }),
  prepare(tool, setup) {
    const path = join(setup.folder, 'haproxy.cfg');
    writeFileSync(path, configuration(setup));
    if (setup.accessLog === '') return { file: tool.path, args: ['-f', path], metricsUrl: '' };
    // It logs to a socket or its output, never to a file.
    const line = `exec '${tool.path}' -f '${path}' >'${setup.accessLog}'`;
    const metricsUrl = `http://127.0.0.1:${setup.statsPort}/metrics`;
    return { file: 'sh', args: ['-c', line], env: tool.env, metricsUrl };
  },
};

function configuration(setup: Setup): string {
  const { port, statsPort, endpoints, workers, accessLog, connections, protocol, certificate } =
    setup;
  const behind = `${setup.isTlsBehind ? ' ssl verify none' : ''}${protocol === 'grpc' ? ' proto h2' : ''}`;
  const isLogged = accessLog !== '';
  const isHttp2 = protocol === 'h2' || protocol === 'grpc';
  const isTcp = protocol === 'tcp';
  return `global
  maxconn ${connections}
  nbthread ${workers}
${isLogged ? '  log stdout len 4096 format raw local0' : ''}
defaults
  mode ${isTcp ? 'tcp' : 'http'}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
${isTcp ? '' : '  timeout tunnel 1h\n  http-reuse always'}
${isLogged ? '  log global\n  option httplog' : ''}
frontend f
  bind 127.0.0.1:${port}${isHttp2 ? ' proto h2' : ''}${certificate === '' ? '' : ` ssl crt ${certificate} alpn http/1.1`}
${
  isTcp
    ? ''
    : `  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Host %[req.hdr(Host)]`
}
  default_backend b
backend b
  balance leastconn
${endpoints.map((one, i) => `  server s${i} 127.0.0.1:${one}${behind}`).join('\n')}
${
  isLogged
    ? `frontend stats
  bind 127.0.0.1:${statsPort}
  no log
  http-request use-service prometheus-exporter`
    : ''
}
`;
}
