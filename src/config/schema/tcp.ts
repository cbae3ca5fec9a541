// What is special to TCP services: `tcp`.
import { z } from 'zod';
import type { TcpPolicy } from '../../model/service.ts';
import { count, duration, fate } from '../values.ts';

const DAY_MS = 86_400_000;

export const tcpSchema = z.strictObject({
  early_failure: duration().prefault('1s').meta({
    description:
      'A session that the endpoint ends within this time without having sent a byte moves to another endpoint, and one that it cuts counts as a failure; 0 trusts every connection.',
  }),
  on_down: fate.prefault('keep').meta({
    description:
      'Sessions of an endpoint that goes down or is ejected: keep, close, or a time after which they are closed if it is not back.',
  }),
  on_drain: fate.prefault('keep').meta({
    description: 'The same for an endpoint that drains, is in maintenance, or leaves the registry.',
  }),
  keep_alive: duration(0, DAY_MS).prefault('1m').meta({
    description:
      'Silence after which TCP keep-alive probes are sent, to the client and to the endpoint, in whole seconds; 0 sends none.',
  }),
  keep_alive_interval: duration(1000, DAY_MS)
    .prefault('15s')
    .meta({ description: 'Time between two probes.' }),
  keep_alive_count: count(1, 127)
    .prefault(4)
    .meta({ description: 'Probes without an answer that end the connection.' }),
});

/** `keepAlive` is null with `keep_alive: 0`; probes begin after a second at the earliest. */
export function buildTcp(tcp: z.output<typeof tcpSchema>): TcpPolicy {
  return {
    earlyFailureMs: tcp.early_failure,
    onDownMs: tcp.on_down,
    onDrainMs: tcp.on_drain,
    keepAlive:
      tcp.keep_alive === 0
        ? null
        : {
            idleMs: Math.max(1000, tcp.keep_alive),
            intervalMs: tcp.keep_alive_interval,
            count: tcp.keep_alive_count,
          },
  };
}
