// How far a registry is trusted: keys that are the same for all of them.

import { listenRule, network } from '../address-values.ts';
import { LISTEN_RULE, NETWORK } from '../forms.ts';
import { listOf } from '../values.ts';

/**
 * Where no endpoint is, and a request does harm: this network, link-local addresses with the
 * metadata services of clouds among them, those that have one elsewhere (AWS and GCP by IPv6, Azure,
 * Alibaba, Oracle), multicast, broadcast.
 */
const DENIED = [
  ...['169.254.0.0/16', 'fe80::/10', 'fd00:ec2::254', 'fd20:ce::254', '168.63.129.16'],
  ...['100.100.100.200', '192.0.0.192', '224.0.0.0/4', 'ff00::/8', '255.255.255.255'],
];

/** `listen_allow` and `endpoint_deny` of a registry's settings. */
export const trustKeys = {
  listen_allow: listOf(listenRule, LISTEN_RULE).prefault(['80', '443', '1024-65535']).meta({
    description:
      'Where services that describe themselves may listen: ports, ranges, address:port, network:port, or /folder/ for unix sockets.',
  }),
  endpoint_deny: listOf(network, NETWORK).prefault(DENIED).meta({
    description:
      'Networks in which no endpoint of the registry may be; by default link-local, metadata and multicast addresses. Add 127.0.0.0/8 and ::1 where no endpoint runs on this host.',
  }),
};
