// What becomes of WebSockets and other upgrades of HTTP services: `tunnels`.
import { z } from 'zod';
import type { TunnelPolicy } from '../../model/service.ts';
import { fate } from '../values.ts';

export const tunnelsSchema = z.strictObject({
  on_down: fate.prefault('keep').meta({
    description:
      'Tunnels (WebSocket, other upgrades) on an endpoint that goes down or is ejected: keep, close, or a time after which they are closed if it is not back.',
  }),
  on_drain: fate.prefault('keep').meta({
    description: 'The same for an endpoint that drains, is in maintenance, or leaves the registry.',
  }),
});

export function buildTunnels(tunnels: z.output<typeof tunnelsSchema>): TunnelPolicy {
  return { onDownMs: tunnels.on_down, onDrainMs: tunnels.on_drain };
}
