// What is special to UDP services: `udp`.
import { z } from 'zod';
import type { UdpPolicy } from '../../model/service.ts';
import { anyForm, numberForm } from '../forms.ts';
import { count, fate } from '../values.ts';

const RESPONSES_MAX = 1_000_000;

const responses = z
  .union([z.literal('any').transform(() => null), count(0, RESPONSES_MAX)], {
    error: `expected any, or a number from 0 to ${RESPONSES_MAX}`,
  })
  .meta({ form: anyForm({ const: 'any' }, numberForm(0, RESPONSES_MAX)) });

export const udpSchema = z.strictObject({
  responses: responses.prefault('any').meta({
    description:
      'Answers that each datagram gets: a session ends with the last of them. 0: none, as for syslog. any: not known, a session ends when it is idle.',
  }),
  amplification: count(0, 1_000_000).prefault(0).meta({
    description:
      'Bytes that a source gets for each byte that it sent, until it has sent again after an answer; 0 is no limit.',
  }),
  rate_per_client: count(0, 10_000_000).prefault(0).meta({
    description:
      'Datagrams a second that are taken from one source address, as many at once, per listener and worker; 0 is no limit.',
  }),
  on_down: fate.prefault('close').meta({
    description:
      'Sessions of an endpoint that goes down or is ejected: keep, close (they move to another one), or a time after which that is done if it is not back.',
  }),
  on_drain: fate.prefault('close').meta({
    description:
      'The same for an endpoint that drains, is in maintenance, or leaves the registry; what it still answers is relayed.',
  }),
});

export function buildUdp(udp: z.output<typeof udpSchema>): UdpPolicy {
  return {
    responses: udp.responses,
    amplificationMax: udp.amplification,
    ratePerClient: udp.rate_per_client,
    onDownMs: udp.on_down,
    onDrainMs: udp.on_drain,
  };
}
