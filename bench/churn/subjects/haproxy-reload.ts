// HAProxy in master-worker mode, rendered by the loop and reloaded without closing its listeners.
import { haproxy } from '../../against/haproxy.ts';
import { loopCommand } from '../loop-command.ts';
import { RESPONSE_TIMEOUT_MS, type Subject } from '../subject.ts';

export const haproxyReload: Subject = {
  name: 'HAProxy + reload',
  find: () => `HAProxy ${haproxy.find().version}`,
  prepare: (place) => loopCommand('haproxy', place),
};

/** The part that both ways of driving HAProxy share. `more` ends the section `global`, or is ''. */
export function renderHaproxy(port: number, backend: string, more: string): string {
  return `global
  maxconn 4000
  nbthread 1
${more}defaults
  mode http
  timeout connect ${RESPONSE_TIMEOUT_MS}ms
  timeout client 60s
  timeout server ${RESPONSE_TIMEOUT_MS}ms
  timeout tunnel 1h
  timeout check 500ms
  retries 3
  retry-on all-retryable-errors
  option redispatch 1
  option idle-close-on-response
  option forwardfor
frontend f
  bind 127.0.0.1:${port}
  default_backend web
backend web
  balance leastconn
  option httpchk GET /health
  default-server check inter 1s fall 2 rise 1 observe layer4 error-limit 3 on-error mark-down
${backend}
`;
}

/** One line per server; none is valid, and answers 503. */
export function renderHaproxyServers(servers: readonly string[]): string {
  return servers.map((one) => `  server s_${one.replace(/[.:]/g, '_')} ${one}`).join('\n');
}
