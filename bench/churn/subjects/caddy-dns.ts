// Caddy with dynamic upstreams: SRV records of Consul's DNS, held for a second.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { caddy } from '../../against/caddy.ts';
import { RESPONSE_TIMEOUT_MS, type Subject } from '../subject.ts';

export const caddyDns: Subject = {
  name: 'Caddy + DNS SRV',
  find: () => `Caddy ${caddy.find().version}`,
  prepare({ port, dnsPort, folder }) {
    const path = join(folder, 'Caddyfile');
    writeFileSync(path, renderCaddy(port, dnsPort));
    return { file: caddy.find().path, args: ['run', '--config', path, '--adapter', 'caddyfile'] };
  },
};

/** Active checks don't reach dynamic upstreams; failures of requests take one out for 10 s. */
export function renderCaddy(port: number, dnsPort: number): string {
  return `{
  admin off
  auto_https off
  log {
    level ERROR
  }
}
http://127.0.0.1:${port} {
  reverse_proxy {
    dynamic srv web.service.consul {
      resolvers 127.0.0.1:${dnsPort}
      refresh 1s
    }
    lb_policy least_conn
    lb_try_duration 4s
    lb_try_interval 20ms
    fail_duration 10s
    max_fails 1
    transport http {
      resolvers 127.0.0.1:${dnsPort}
      dial_timeout ${RESPONSE_TIMEOUT_MS}ms
      response_header_timeout ${RESPONSE_TIMEOUT_MS}ms
    }
  }
}
`;
}
