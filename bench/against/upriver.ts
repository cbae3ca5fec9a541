// This program, with its defaults and fixed endpoints.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Program, Setup } from './program.ts';

/** The program as it lies in a checkout of its own, which has its dependencies installed. */
export const upriverIn = (root: string, name: string): Program => ({
  name,
  hasWorkers: true,
  speaks: ['http1', 'h2', 'grpc', 'tcp', 'websocket', 'udp'],
  speaksTls: true,
  speaksTlsBehind: true,
  find() {
    const text = readFileSync(join(root, 'package.json'), 'utf8');
    // Our own file.
    const { version } = JSON.parse(text) as { version: string };
    const path = process.execPath;
    return { path, env: {}, version: `${version} (node ${process.versions.node})` };
  },
  prepare({ path }, setup) {
    const { port, statsPort, endpoints, workers, accessLog, connections } = setup;
    const { certificate } = setup;
    const isTls = certificate !== '';
    const list = endpoints.map((one) => `127.0.0.1:${one}`).join(',');
    const more = moreOf(setup);
    const args = [
      ...[join(root, 'bin', 'upriver.mjs'), 'run', '--static', `web=${list}`],
      ...[
        '--service',
        `web=127.0.0.1:${port},limits.connections=${connections}${more}${isTls ? ',tls=true' : ''}`,
      ],
      ...(isTls ? ['--tls-cert', certificate, '--tls-key', certificate] : []),
      ...['--workers', String(workers), '--stats', `127.0.0.1:${statsPort}`],
      ...['--log-level', 'error', '--access-log', accessLog || 'off'],
    ];
    return { file: path, args, metricsUrl: `http://127.0.0.1:${statsPort}/metrics` };
  },
});

/** Settings of its service beyond the plain ones. */
function moreOf({ protocol, responses, isTlsBehind }: Setup): string {
  if (isTlsBehind) return ',upstream.tls.enabled=true,upstream.tls.verify=false';
  return {
    ...{ http1: '', websocket: '', tcp: ',protocol=tcp' },
    ...{ h2: ',http2=true', grpc: ',http2=true,upstream.protocol=h2c' },
    udp: `,protocol=udp,udp.responses=${responses}`,
  }[protocol];
}

export const upriver: Program = upriverIn(join(import.meta.dirname, '..', '..'), 'upriver');
