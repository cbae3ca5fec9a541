// What HTTP/2 of Node's own would cost: a minimal relay, which follows none of a proxy's rules.
import { join } from 'node:path';
import type { Program } from './program.ts';

export const nodeHttp2: Program = {
  name: 'node-http2',
  hasWorkers: false,
  speaks: ['h2'],
  find: () => ({ path: process.execPath, env: {}, version: process.versions.node }),
  prepare({ path }, { port, endpoints }) {
    const script = join(import.meta.dirname, 'node-http2-relay.mjs');
    return { file: path, args: [script, String(port), endpoints.join(',')], metricsUrl: '' };
  },
};
