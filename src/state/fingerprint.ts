// Which registry a state file is of: what of the settings says which one it is and what is read there.
// A registry that is followed in another way is another one; a new token or timeout is not.
import { createHash } from 'node:crypto';
import type { FollowedRegistry, RegistrySettings } from '../model/registries/table.ts';

/** By registry. */
export type Fingerprints = Readonly<Record<string, string>>;

/** Keys of the settings, in the order in which files have them. Never a secret. */
const IDENTITY: { readonly [N in FollowedRegistry]: readonly (keyof RegistrySettings[N])[] } = {
  consul: ['addresses', 'datacenter', 'namespace', 'partition', 'selfDescribed', 'tagPrefix'],
  dns: ['servers'],
  docker: ['addresses', 'place', 'host', 'network', 'selfDescribed', 'labelPrefix'],
  etcd: ['addresses', 'prefix', 'layout', 'selfDescribed', 'tagPrefix'],
  file: ['paths', 'tagPrefix'],
  http: ['urls', 'service', 'tagPrefix'],
  zookeeper: ['servers', 'path', 'selfDescribed', 'tagPrefix'],
};

/** One for each registry that is followed. */
export function fingerprintsOf(registries: Partial<RegistrySettings>): Fingerprints {
  const all = Object.entries(registries).map(([name, settings]) => {
    // The keys of its own row.
    const keys: readonly string[] = IDENTITY[name as FollowedRegistry];
    const values = keys.map((key) => (settings as unknown as Record<string, unknown>)[key]);
    return [name, hashOf(JSON.stringify(values))] as const;
  });
  return Object.fromEntries(all);
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
