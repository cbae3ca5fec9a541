// The baseline of the npm world: no access log, no metrics, one thread.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Program } from './program.ts';

export const httpProxy: Program = {
  name: 'http-proxy',
  hasWorkers: false,
  find() {
    const file = createRequire(import.meta.url).resolve('http-proxy/package.json');
    // npm's own shape.
    const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
    return { path: process.execPath, env: {}, version };
  },
  prepare({ path }, { port, endpoints }) {
    const script = join(import.meta.dirname, 'http-proxy-server.mjs');
    return { file: path, args: [script, String(port), endpoints.join(',')], metricsUrl: '' };
  },
};
