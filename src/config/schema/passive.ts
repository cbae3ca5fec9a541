// Ejection of endpoints that fail requests, and what is done when few are left: `passive`, `panic`.
import { z } from 'zod';
import type { Balance, PassiveHealth } from '../../model/service.ts';
import { autoFlag, count, duration, flag, share } from '../values.ts';

const successRateSchema = z.strictObject({
  enabled: autoFlag.prefault('auto').meta({
    description:
      'Eject endpoints that fail while their peers do not; auto: unless balance is hash(...) or consecutive_failures is 0.',
  }),
  window: duration(1000).prefault('1m').meta({
    description: 'Longest evaluation window; clear evidence ejects as soon as it is there.',
  }),
  min_requests: count(1, 1_000_000)
    .prefault(10)
    .meta({ description: 'Minimum number of requests to an endpoint for a comparison.' }),
  min_endpoints: count(2, 10_000)
    .prefault(2)
    .meta({ description: 'Minimum number of endpoints with requests for a comparison.' }),
  excess: share.prefault('1%').meta({
    description:
      "Share of failures above that of the peers that is tolerated; twice the peers' odds are tolerated as well.",
  }),
});

const latencySchema = z.strictObject({
  enabled: flag.prefault(false).meta({
    description: 'Eject endpoints whose p99 is above `factor` times that of their peers.',
  }),
  factor: count(2, 1000)
    .prefault(3)
    .meta({ description: "Multiple of the peers' p99 that is tolerated." }),
  min: duration()
    .prefault('20ms')
    .meta({ description: 'Response times below this are never slow.' }),
});

export const passiveSchema = z.strictObject({
  consecutive_failures: count(0, 10_000).prefault(5).meta({
    description:
      'Failed attempts in a row, of any kind, that eject an endpoint; 0 turns ejection for them off.',
  }),
  connect_failures: count(0, 10_000).prefault(3).meta({
    description:
      'Failed connects in a row that eject; 0: no separate limit. Disabled when consecutive_failures is 0.',
  }),
  resets: count(0, 10_000).prefault(0).meta({
    description: 'Connections in a row that broke before the answer was complete; 0 is no limit.',
  }),
  timeouts: count(0, 10_000).prefault(3).meta({
    description:
      'Requests in a row that timed out; 0: no separate limit. Disabled when consecutive_failures is 0. With a limit, an endpoint that answers no request for a whole response timeout is ejected at once.',
  }),
  gateway_errors: count(0, 10_000).prefault(0).meta({
    description: 'Answers 502, 503 and 504 in a row; 0 is no limit.',
  }),
  server_errors: count(0, 10_000).prefault(0).meta({
    description: 'Answers 500 to 599 in a row; 0 is no limit.',
  }),
  success_rate: successRateSchema
    .prefault({})
    .meta({ description: 'Comparison with the other endpoints by failures.' }),
  latency: latencySchema
    .prefault({})
    .meta({ description: 'Comparison with the other endpoints by response times.' }),
  ejection: duration(1).prefault('10s').meta({
    description: 'How long the first ejection lasts; each further one in a row is longer.',
  }),
  max_ejected: share.prefault('50%').meta({
    description:
      'Share of the endpoints that may be ejected at once; each process ejects by its own evidence.',
  }),
});

export const panicSchema = z.strictObject({
  threshold: share.prefault('50%').meta({
    description:
      'Below this share of working endpoints, those that only our checks and ejection took out are used too; 0 turns it off.',
  }),
  spread: z.enum(['spill', 'all']).default('spill').meta({
    description:
      'spill: they get what the working ones cannot take, and retries; all: requests are balanced over all alike.',
  }),
});

/**
 * `consecutive_failures: 0` also turns off what is on by default: connect failures, timeouts, and the comparison
 * with peers.
 */
export function buildPassive(
  passive: z.output<typeof passiveSchema>,
  balance: Balance,
): PassiveHealth {
  const { success_rate: rate, latency } = passive;
  // Off means off: what is on by default follows.
  const isOff = passive.consecutive_failures === 0;
  // With hashing one client's errors are one endpoint's: a comparison is to be asked for.
  const isAuto = !isOff && balance.policy !== 'hash';
  const isCompared = rate.enabled === 'auto' ? isAuto : rate.enabled;
  return {
    consecutiveFailures: passive.consecutive_failures,
    connectFailures: isOff ? 0 : passive.connect_failures,
    resets: passive.resets,
    timeouts: isOff ? 0 : passive.timeouts,
    gatewayErrors: passive.gateway_errors,
    serverErrors: passive.server_errors,
    successRate: isCompared
      ? {
          windowMs: rate.window,
          minRequests: rate.min_requests,
          minEndpoints: rate.min_endpoints,
          excess: rate.excess,
        }
      : null,
    latency: latency.enabled ? { factor: latency.factor, minMs: latency.min } : null,
    ejectionMs: passive.ejection,
    maxEjectedShare: passive.max_ejected,
  };
}
