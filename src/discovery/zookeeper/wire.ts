// What is needed of the outside to speak with a member. The real one is door.ts.
import type { TlsSettings } from '../../model/registries/tls.ts';
import type { ZookeeperServer } from '../../model/registries/zookeeper.ts';

/** A connection: its opener ends it, and hears nothing after that. */
export interface Channel {
  write(bytes: Buffer): void;
  /** Ends it now; what was written may be lost. */
  destroy(): void;
  /** Ends it once what was written has left. */
  end(): void;
}

export interface ChannelEvents {
  /** It is open; with TLS the handshake is done. */
  readonly onOpen: () => void;
  readonly onData: (bytes: Buffer) => void;
  /** It failed or was closed by the other side; nothing follows. */
  readonly onEnd: (error: Error) => void;
}

/** Opens a connection to a member. Never throws: what fails is told by `onEnd`, in a later turn. */
export type OpenZookeeper = (
  place: { readonly server: ZookeeperServer; readonly tls: TlsSettings | null },
  events: ChannelEvents,
) => Channel;
