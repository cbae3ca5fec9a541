// HAProxy that asks Consul's DNS for SRV records each second and fills its server template.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { haproxy } from '../../against/haproxy.ts';
import type { Subject } from '../subject.ts';
import { renderHaproxy } from './haproxy-reload.ts';

const SLOTS = 24;

export const haproxyDns: Subject = {
  name: 'HAProxy + DNS SRV',
  find: () => `HAProxy ${haproxy.find().version}`,
  prepare({ port, dnsPort, folder }) {
    const path = join(folder, 'haproxy.cfg');
    writeFileSync(path, renderHaproxyDns(port, dnsPort));
    return { file: haproxy.find().path, args: ['-f', path] };
  },
};

export function renderHaproxyDns(port: number, dnsPort: number): string {
  const resolvers = `resolvers consul
  nameserver agent 127.0.0.1:${dnsPort}
  accepted_payload_size 8192
  resolve_retries 3
  timeout resolve 1s
  timeout retry 500ms
  hold valid 1s
`;
  const name = '_web._tcp.service.consul';
  const template = `  server-template web ${SLOTS} ${name} resolvers consul resolve-prefer ipv4 init-addr none`;
  return renderHaproxy(port, template, resolvers);
}
