// Every attack, one row each. A new one is a file in attacks/ and a row here.
import { CHECKS, FRESH_REQUESTS, REQUESTS, type Row } from './attack.ts';
import { connectionChurn } from './attacks/connection-churn.ts';
import { deadEndpoints } from './attacks/dead-endpoints.ts';
import { endlessInformational } from './attacks/endless-informational.ts';
import { flappingSource } from './attacks/flapping-sources.ts';
import { flappingTargets } from './attacks/flapping-targets.ts';
import { halfHeads } from './attacks/half-heads.ts';
import { http2Attack } from './attacks/http2.ts';
import { http2EndpointAttack } from './attacks/http2-endpoint.ts';
import { idleConnections } from './attacks/idle-connections.ts';
import { statsIdle } from './attacks/stats-idle.ts';
import { statsPipelining } from './attacks/stats-pipelining.ts';
import { statsScraping } from './attacks/stats-scraping.ts';
import { statsSilentReaders } from './attacks/stats-silent-readers.ts';
import { statsStreams } from './attacks/stats-streams.ts';
import {
  statsTlsHalf,
  statsTlsPipelining,
  statsTlsSilent,
  statsTlsStalled,
} from './attacks/stats-tls.ts';
import { tinyChunks } from './attacks/tiny-chunks.ts';
import {
  tlsHalfHandshakes,
  tlsHandshakes,
  tlsRenegotiation,
  tlsSilentHandshakes,
} from './attacks/tls.ts';
import { tlsSmallRecords } from './attacks/tls-small-records.ts';
import { udpFlood } from './attacks/udp-flood.ts';

/** Health checks over TLS make a handshake each. */
const STATS_TLS = {
  principal: 'reader',
  victim: CHECKS,
  hasStatsTls: true,
  defence: 'built',
} as const;

export const rows: readonly Row[] = [
  {
    name: 'stats-pipelining',
    principal: 'reader',
    what: '50 connections x 400 GET /metrics ahead of their answers, never read',
    victim: REQUESTS,
    defence: 'built',
    start: statsPipelining,
  },
  {
    name: 'stats-idle',
    principal: 'reader',
    what: '1000 idle connections to the stats port',
    victim: CHECKS,
    defence: 'built',
    start: statsIdle,
  },
  {
    name: 'stats-silent-readers',
    principal: 'reader',
    what: '400 pages and streams, never read',
    victim: REQUESTS,
    defence: 'built',
    start: statsSilentReaders,
  },
  {
    name: 'stats-scraping',
    principal: 'reader',
    what: '50 connections that ask for pages without a pause',
    victim: REQUESTS,
    defence: 'built',
    start: statsScraping,
  },
  {
    name: 'stats-long-pages',
    principal: 'reader',
    what: 'the same, beside health checks: no page holds up the thread',
    victim: CHECKS,
    defence: 'built',
    start: statsScraping,
  },
  {
    name: 'stats-streams',
    principal: 'reader',
    what: '80 dashboards and streams of changes, read, and opened again after 4 MiB',
    victim: CHECKS,
    defence: 'built',
    start: statsStreams,
  },
  {
    name: 'idle-connections',
    principal: 'client',
    what: 'more idle connections of one address than the service may have',
    victim: FRESH_REQUESTS,
    defence: 'built',
    start: idleConnections,
  },
  {
    name: 'half-heads',
    principal: 'client',
    what: 'more connections with half a head of one address than the service may have',
    victim: FRESH_REQUESTS,
    defence: 'built',
    start: halfHeads,
  },
  {
    name: 'connection-churn',
    principal: 'client',
    what: '1000 connections a second of one address, closed as soon as they are open',
    victim: FRESH_REQUESTS,
    defence: 'built',
    start: connectionChurn,
  },
  {
    name: 'tiny-chunks',
    principal: 'client',
    what: 'endless chunks of one byte to another service, 2 connections',
    victim: REQUESTS,
    defence: 'built',
    start: tinyChunks,
  },
  {
    name: 'tls-silent-handshakes',
    principal: 'client',
    what: 'more half ClientHellos of one address than the service may have connections',
    victim: FRESH_REQUESTS,
    defence: 'built',
    start: tlsSilentHandshakes,
  },
  {
    name: 'tls-half-handshakes',
    principal: 'client',
    what: '1000 ClientHellos a second to another service, left as soon as they are answered',
    victim: REQUESTS,
    defence: 'built',
    start: tlsHalfHandshakes,
  },
  {
    name: 'tls-handshakes',
    principal: 'client',
    what: 'TLS handshakes with another service, 64 at a time without a pause',
    victim: REQUESTS,
    defence: 'built',
    start: tlsHandshakes,
  },
  {
    name: 'tls-renegotiation',
    principal: 'client',
    what: 'TLS 1.2 with another service, renegotiated, 64 at a time without a pause',
    victim: REQUESTS,
    defence: 'built',
    start: tlsRenegotiation,
  },
  {
    name: 'tls-small-records',
    principal: 'client',
    what: 'bodies in TLS records of one byte to another service, thousands at once, 8 connections',
    victim: REQUESTS,
    defence: 'built',
    start: tlsSmallRecords,
  },
  ...(
    [
      ['rapid-reset', 'HTTP/2 streams that are reset as soon as they are opened'],
      ['continuation', 'HTTP/2 header blocks without an end'],
      ['control', 'HTTP/2 PINGs and SETTINGS without an end'],
      ['header-bomb', 'HTTP/2 header blocks in which a byte stands for 4,000'],
      ['tiny-data', 'HTTP/2 DATA of one byte, without an end'],
      ['own-answers', 'HTTP/2 requests that Upriver answers itself, without an end'],
      [
        'slow-streams',
        'HTTP/2 streams that are opened and never ended, and whose answers are not read',
      ],
      ['window-updates', 'HTTP/2 windows that are opened a byte at a time'],
    ] as const
  ).map(
    ([name, what]): Row => ({
      ...{ name: `http2-${name}`, principal: 'client', defence: 'built' },
      what: `${what}, 4 connections to another service`,
      victim: REQUESTS,
      start: http2Attack(name),
    }),
  ),
  {
    name: 'flapping-targets',
    principal: 'registrant',
    what: '5000 endpoints that are replaced by others seven times a second',
    victim: CHECKS,
    defence: 'built',
    start: flappingTargets,
  },
  ...(
    [
      ['http', 'built', 'an HTTP endpoint whose 5000 targets are others each time it is asked'],
      ['docker', 'built', 'a container engine with 2000 starts and ends of containers a second'],
      ['etcd', 'built', '500 keys of an etcd v2 that come and go as fast as they are followed'],
      // Lost 9% and 28% of the checks where other work took most of both cores.
      ['etcd3', 'open', '500 keys of an etcd v3 that come and go as fast as they are read'],
      ['zookeeper', 'built', '2000 znodes a second that come and go in ZooKeeper'],
      ['consul', 'built', 'a Consul whose 500 instances are others each time it is asked'],
      ['dns', 'built', 'a name with 200 addresses, others each time it is asked'],
    ] as const
  ).map(
    ([name, defence, what]): Row => ({
      ...{ name: `flapping-${name}`, principal: 'registrant', defence, what },
      victim: CHECKS,
      start: flappingSource(name),
    }),
  ),
  {
    name: 'udp-flood',
    principal: 'client',
    what: 'datagrams of 2000 new addresses a second to another service, whose endpoint answers',
    victim: REQUESTS,
    defence: 'built',
    start: udpFlood,
  },
  ...(
    [
      ['control', 'PINGs and SETTINGS without an end'],
      ['informational', '103 responses without an end'],
      ['tiny-data', 'DATA of one byte, without an end'],
      ['small-data', 'DATA of 20 bytes, without an end'],
      ['resets', 'resets of every stream'],
      ['window-updates', 'windows that are opened a byte at a time'],
    ] as const
  ).map(
    ([name, what]): Row => ({
      ...{ name: `http2-endpoint-${name}`, principal: 'endpoint', defence: 'built' },
      what: `HTTP/2 ${what}, for 2 clients of another service`,
      victim: REQUESTS,
      start: http2EndpointAttack(name),
    }),
  ),
  {
    name: 'endless-informational',
    principal: 'endpoint',
    what: 'endless 103 responses on another service, 2 requests',
    victim: REQUESTS,
    defence: 'built',
    start: endlessInformational,
  },
  {
    name: 'dead-endpoints',
    principal: 'client',
    what: 'one GET at a time against thousands of dead endpoints',
    victim: REQUESTS,
    defence: 'built',
    start: deadEndpoints,
  },
  {
    ...STATS_TLS,
    name: 'stats-tls-silent-handshakes',
    what: '1000 half ClientHellos of one address to the stats port',
    start: statsTlsSilent,
  },
  {
    ...STATS_TLS,
    name: 'stats-tls-half-handshakes',
    what: '1000 ClientHellos a second to the stats port, left as soon as they are answered',
    start: statsTlsHalf,
  },
  {
    ...STATS_TLS,
    name: 'stats-tls-pipelining',
    what: '50 connections x 400 GET /metrics over TLS ahead of their answers, never read',
    start: statsTlsPipelining,
  },
  {
    ...STATS_TLS,
    name: 'stats-tls-stalled-handshakes',
    what: '1000 ClientHellos of one address to the stats port, and nothing after them',
    start: statsTlsStalled,
  },
];
