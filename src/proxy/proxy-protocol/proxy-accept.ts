// Whose connections to a listener begin with a PROXY protocol header, and what is counted of those
// that should and do not.
import { Networks, parseIp } from '../../base/ip-address.ts';
import { reason } from '../../model/reason.ts';
import type { WorkerContext } from '../context.ts';
import type { LiveListener } from '../listener.ts';
import type { ProxyAccept } from '../network.ts';

const BAD_PROXY_HEADER = reason('bad-proxy-header');

/** Null where the listener accepts no such header. */
export function proxyAcceptOf(listener: LiveListener, context: WorkerContext): ProxyAccept | null {
  const { acceptProxy } = listener.snapshot.policy;
  if (acceptProxy.length === 0) return null;
  const trusted = new Networks(acceptProxy);
  return {
    timeoutMs: listener.timeouts.clientHeaderMs,
    isTrusted: (address) => {
      const ip = parseIp(address);
      // Who may connect to a unix socket is up to its permissions.
      return address === '' || (ip !== null && trusted.has(ip));
    },
    onRefused: (client, detail) => {
      const { service, snapshot } = listener;
      if (service !== null) context.ledger.addReason(service.slot, BAD_PROXY_HEADER.index);
      const fields = { listener: snapshot.key, client, reason: BAD_PROXY_HEADER.code, detail };
      context.log.warn(fields, BAD_PROXY_HEADER.text);
    },
  };
}
