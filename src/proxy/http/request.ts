// What an exchange is begun with.
import type { Route } from '../../model/route.ts';
import type { LiveService } from '../live-service.ts';
import type { ClientFacts } from './client-facts.ts';
import type { HeaderPolicy } from './header-policy.ts';

/** What an exchange is begun with, beside the head. */
export interface Request {
  readonly live: LiveService;
  readonly route: Route | null;
  readonly client: ClientFacts;
  readonly policy: HeaderPolicy;
  /** What it goes by in heads and logs; '' where that is off. */
  readonly requestId: string;
  /** The upgrade that it asks for and that is passed on; ''. */
  readonly upgrade: string;
  /** It has a body, of `announced` bytes where that is known (0: it is not). */
  readonly hasBody: boolean;
  readonly announced: number;
  /** The time that the client gives it, ms; 0: as much as the service does. */
  readonly withinMs: number;
  /** A WebSocket of HTTP/2: the key that its client has none of; '' otherwise. */
  readonly websocketKey: string;
}
