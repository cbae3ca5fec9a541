// Active checks: `health`.
import { z } from 'zod';
import {
  CHECK_TYPES,
  DNS_TYPES,
  type DnsType,
  type HealthCheck,
  type Protocol,
  type UpstreamPolicy,
  type UpstreamTls,
} from '../../model/service.ts';
import { givenHost, givenServerName } from '../../model/upstream-host.ts';
import { checkExpect, checkSend, checkText, dnsName } from '../check-values.ts';
import { absolutePath, fieldName, fieldValue, statusRanges } from '../http-values.ts';
import { count, duration, filePath, flag } from '../values.ts';
import { buildUpstream, type UpstreamInput } from './upstream.ts';

export const healthSchema = z.strictObject({
  type: z.enum(CHECK_TYPES).optional().meta({
    description:
      'What is asked: http asks for a path, in the protocol of the endpoints; grpc asks for grpc.health.v1.Health; tcp only connects; tls makes a handshake; redis, postgres, mysql, smtp and memcached speak these protocols; send_expect sends `send` and looks for `expect`; dns asks a DNS question; udp sends a datagram, and is bad where that is refused or the answer is not the expected one. By default what fits the service.',
  }),
  path: absolutePath.prefault('/').meta({ description: 'Path of an HTTP check.' }),
  grpc_service: checkText.default('').meta({
    description: 'grpc: the service that is asked for; by default the endpoint as a whole.',
  }),
  host: z.string().default('').meta({
    description:
      'Host field of an HTTP check, by default the name that upstream.host gives, or the name or address of the endpoint; name in a TLS handshake; name in EHLO.',
  }),
  query: dnsName.default('').meta({
    description:
      'dns: the name that is asked for, which has to be there; without it any answer is good but a server failure.',
  }),
  query_type: z
    .enum(Object.keys(DNS_TYPES) as [DnsType, ...DnsType[]])
    .default('A')
    .meta({ description: 'dns: the type of the records that are asked for.' }),
  headers: z
    .record(fieldName, fieldValue)
    .prefault({})
    .meta({ description: 'Fields of an HTTP check.' }),
  send: checkSend.prefault('').meta({
    description:
      'send_expect, udp: what is sent after connecting: text with \\r \\n \\t \\0 \\xHH, or hex:0d0a.',
  }),
  expect: checkExpect.optional().meta({
    description:
      'send_expect, udp, http: what the answer (its body, up to 64 KiB) must contain: text or hex: as in send, or /pattern/ for a regular expression.',
  }),
  user: checkText.default('').meta({
    description:
      'redis, postgres, mysql: user to log in as; by default the check asks as far as that goes without one.',
  }),
  database: checkText
    .default('')
    .meta({ description: 'postgres, mysql: database to log in to; postgres by default.' }),
  password: checkText.default('').meta({ description: 'redis, postgres, mysql: its password.' }),
  password_file: filePath
    .default('')
    .meta({ description: 'File with the password, read for each check.' }),
  password_cleartext: flag.prefault(false).meta({
    description:
      'postgres, mysql: send the password in clear text, or encrypted for a key that the endpoint sends, where it asks for that over a network without TLS that is verified. Anyone on the path, and any endpoint, can then learn it.',
  }),
  method: z
    .enum(['GET', 'HEAD', 'OPTIONS'])
    .default('GET')
    .meta({ description: 'Method of an HTTP check.' }),
  port: count(0, 65535)
    .prefault(0)
    .meta({ description: "Port to check; 0 is the endpoint's own." }),
  interval: duration(100)
    .prefault('2s')
    .meta({ description: 'Time between two checks, 100ms at least.' }),
  timeout: duration(1).prefault('1s').meta({ description: 'Check timeout.' }),
  rise: count(1, 100)
    .prefault(2)
    .meta({ description: 'Good checks in a row that bring an endpoint up.' }),
  fall: count(1, 100).prefault(3).meta({ description: 'Bad checks in a row that bring it down.' }),
  status: statusRanges.prefault('200-399').meta({ description: 'Statuses that are good.' }),
  initial: z
    .enum(['up', 'down'])
    .default('down')
    .meta({ description: 'What a new endpoint is until its first check.' }),
});

/**
 * Without `type`, the check follows from the other keys: a query is dns, something to send or expect is send_expect,
 * a path is http, and else it is the service's own protocol. Host and TLS are those of requests.
 */
export function buildHealth(
  health: z.output<typeof healthSchema>,
  protocol: Protocol,
  upstream: UpstreamInput,
): HealthCheck {
  const { send, expect = null } = health;
  const plain = protocol !== 'http' && health.path === '/' ? protocol : 'http';
  const isConversation = send !== '' || (expect !== null && plain !== 'http');
  const asked = health.query !== '' ? 'dns' : isConversation ? 'send_expect' : plain;
  const type = health.type ?? asked;
  const policy = buildUpstream(upstream);
  const { host } = policy;
  return {
    type,
    isUdp: type === 'udp' || (protocol === 'udp' && (type === 'dns' || type === 'send_expect')),
    question: {
      name: health.query.replace(/\.$/, ''),
      // The name servers of the root are what every resolver knows.
      type: health.query === '' ? 'NS' : health.query_type,
    },
    path: health.path,
    version: versionOf(upstream),
    grpcService: health.grpc_service,
    // As for requests; the names of other protocols are their own.
    host: health.host || (isHttpCheck(type) ? givenHost(host) : ''),
    method: health.method,
    headers: Object.fromEntries(
      Object.entries(health.headers).map(([name, value]) => [name.toLowerCase(), value]),
    ),
    tls: checkTlsOf(policy),
    port: health.port,
    intervalMs: health.interval,
    timeoutMs: health.timeout,
    rise: health.rise,
    fall: health.fall,
    expectStatus: health.status,
    send,
    expect,
    login: {
      user: health.user,
      database: health.database,
      password: health.password,
      passwordFile: health.password_file,
      isCleartextAllowed: health.password_cleartext,
    },
    sendProxy: 'off',
    wantsRole: false,
    initial: health.initial,
  };
}

/** A check asks as requests do. */
function versionOf({ protocol, tls, send_proxy }: UpstreamInput): HealthCheck['version'] {
  if (protocol === 'auto') return tls.enabled && send_proxy === 'off' ? 'auto' : 'http1';
  return protocol === 'http1' ? 'http1' : 'http2';
}

/** A check asks as requests do: by TLS where they do, for the same name. */
function checkTlsOf(policy: UpstreamPolicy): UpstreamTls | null {
  return policy.tls === null ? null : { ...policy.tls, serverName: givenServerName(policy) };
}

function isHttpCheck(type: HealthCheck['type']): boolean {
  return type === 'http' || type === 'grpc';
}
