// What the registrar is to do, complete: from flags and variables of `upriver register`, or from
// `register` of the configuration.
import type { EngineAddress } from './engine-address.ts';
import type { EtcdSettings } from './registries/etcd.ts';
import type { TlsSettings } from './registries/tls.ts';

/** How keys are named in a store of keys. */
export type KeyLayout = 'registrator' | 'docker-register' | 'skydns';

interface ConsulAccessSettings {
  /** http://host:port, https://host:port or unix:///path. */
  readonly address: string;
  readonly tls: TlsSettings;
  readonly token: string;
  /** Read again when it changes; wins over `token`. */
  readonly tokenFile: string;
  /** user:password. */
  readonly httpAuth: string;
  readonly namespace: string;
}

/** Where it registers. */
export type RegisterTarget =
  | { readonly kind: 'consul'; readonly access: ConsulAccessSettings }
  | { readonly kind: 'consulkv'; readonly access: ConsulAccessSettings; readonly prefix: string }
  | { readonly kind: 'etcd'; readonly etcd: EtcdSettings; readonly layout: KeyLayout };

export interface RegisterSettings {
  readonly target: RegisterTarget;
  readonly docker: { readonly addresses: readonly EngineAddress[]; readonly tls: TlsSettings };
  /** The host's name, for ids; '' for the machine's own. */
  readonly hostname: string;
  /** Put in the place of every published address; '' for none. */
  readonly ip: string;
  readonly internal: boolean;
  readonly explicit: boolean;
  /** The label with a container's address; '' for none. */
  readonly ipLabel: string;
  /** More tags, which may be a template of what the engine says of the container. */
  readonly tags: string;
  readonly cleanup: boolean;
  readonly deregister: 'always' | 'on-success';
  readonly deregisterOnExit: boolean;
  readonly resyncMs: number;
  /** 0 for what stays until it is deregistered. */
  readonly ttlMs: number;
  readonly refreshMs: number;
  /** Tries to reach the registry at the start beside the first; -1 for no end of them. */
  readonly retryAttempts: number;
  readonly retryIntervalMs: number;
}
