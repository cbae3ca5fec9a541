import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findTool } from '../tools.ts';
import type { Program } from './program.ts';

export const caddy: Program = {
  name: 'caddy',
  hasWorkers: true,
  find: () =>
    findTool({
      ...{ name: 'caddy', versionArgs: ['version'], file: '/usr/bin/caddy' },
      packages: ['caddy', 'libzstd1'],
    }),
  prepare(tool, { port, statsPort, endpoints, workers, accessLog, folder }) {
    const path = join(folder, 'Caddyfile');
    const isLogged = accessLog !== '';
    const log = isLogged ? `  log {\n    output file ${accessLog}\n  }\n` : '';
    const to = endpoints.map((one) => `127.0.0.1:${one}`).join(' ');
    writeFileSync(
      path,
      `{
  admin ${isLogged ? `127.0.0.1:${statsPort}` : 'off'}
  auto_https off
}
http://127.0.0.1:${port} {
${log}  reverse_proxy ${to} {
    lb_policy least_conn
  }
}
`,
    );
    return {
      ...{ file: tool.path, args: ['run', '--config', path, '--adapter', 'caddyfile'] },
      env: { ...tool.env, GOMAXPROCS: String(workers), HOME: folder },
      metricsUrl: isLogged ? `http://127.0.0.1:${statsPort}/metrics` : '',
    };
  },
};
