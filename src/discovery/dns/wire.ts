// What is needed of the outside to ask a DNS server. The real one is door.ts.
import type { DnsServer } from '../../model/registries/dns.ts';

export interface Asking {
  readonly server: DnsServer;
  readonly transport: 'tcp' | 'udp';
  readonly question: Buffer;
  readonly timeoutMs: number;
  /**
   * Whether this datagram is the answer; another is passed over, for anyone can send one. Throws CodedError
   * where the server itself sends too many that are none.
   */
  readonly isAnswer: (message: Buffer) => boolean;
}

export interface Wire {
  /** The number of a question: 16 bits that can't be guessed, for anyone can send a datagram. */
  newId(): number;
  /** One question and its answer. Rejects with CodedError, or the system's error. */
  ask(asking: Asking): Promise<Buffer>;
  /** Ends what is under way: it rejects. */
  close(): void;
}
