// The door to members of etcd: what the client needs of HTTP.
import type { TlsSettings } from '../../model/registries/tls.ts';
import type { PoolChannel, PoolRequest, PoolResponse } from '../../reach/http-pools.ts';

export type EtcdRequest = PoolRequest;
export type EtcdResponse = PoolResponse;

/** The way to one member. */
export type EtcdChannel = Pick<PoolChannel, 'request' | 'recycle'>;

export interface EtcdTransport {
  /** The channel to the member at this address, as it is now. */
  to(address: string): EtcdChannel | Promise<EtcdChannel>;
  /** Closes all connections; what is open rejects. */
  close(): Promise<void>;
}

export type OpenEtcd = (tls: TlsSettings) => EtcdTransport;
