// Upriver with its defaults and the response timeout that all have; no active checks.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Place, RESPONSE_TIMEOUT_MS, type Subject } from '../subject.ts';

const launcher = join(import.meta.dirname, '..', '..', '..', 'bin', 'upriver.mjs');

export const upriver: Subject = {
  name: 'Upriver',
  find: () => `Upriver on Node ${process.versions.node}`,
  prepare(place) {
    const path = join(place.folder, 'upriver.yaml');
    writeFileSync(path, renderUpriver(place));
    return { file: process.execPath, args: [launcher, 'run', '--config', path] };
  },
};

export function renderUpriver({ consulUrl, port, statsPort }: Place): string {
  return `registries:
  consul:
    address: [${consulUrl}]
services:
  web:
    listen: 127.0.0.1:${port}
    timeouts:
      response: ${RESPONSE_TIMEOUT_MS}ms
stats:
  listen: 127.0.0.1:${statsPort}
log:
  level: warn
`;
}
