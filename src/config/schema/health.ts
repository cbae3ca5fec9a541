// Active checks: `health`.
import { z } from 'zod';
import type { HealthCheck, Protocol } from '../../model/service.ts';
import { absolutePath, count, duration, statusRanges } from '../values.ts';

export const healthSchema = z.strictObject({
  type: z.enum(['http', 'tcp']).optional().meta({
    description:
      'What is asked: http asks for a path, tcp only connects; by default what fits the service.',
  }),
  path: absolutePath.prefault('/').meta({ description: 'Path of an HTTP check.' }),
  host: z
    .string()
    .default('')
    .meta({ description: 'Host field of an HTTP check; address:port by default.' }),
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
  timeout: duration(1)
    .prefault('1s')
    .meta({ description: 'A check without an answer for so long is bad.' }),
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

export function buildHealth(
  health: z.output<typeof healthSchema>,
  protocol: Protocol,
): HealthCheck {
  return {
    type: health.type ?? (protocol === 'tcp' && health.path === '/' ? 'tcp' : 'http'),
    path: health.path,
    host: health.host,
    method: health.method,
    port: health.port,
    intervalMs: health.interval,
    timeoutMs: health.timeout,
    rise: health.rise,
    fall: health.fall,
    expectStatus: health.status,
    initial: health.initial,
  };
}
