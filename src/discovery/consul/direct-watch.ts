import type { Contact } from '../contact.ts';
import { BlockingQuery, type ConsulContext } from './blocking-query.ts';
import type { FollowedService } from './followed-service.ts';
import { healthPath, healthQuery } from './service-query.ts';
import { type Entry, listOf } from './translate.ts';

export interface DirectWatchOptions {
  readonly context: ConsulContext;
  readonly contact: Contact;
  readonly service: FollowedService;
}

/** Follows one service by a blocking query of its own. */
export class DirectWatch {
  private readonly contact: Contact;
  private readonly what: string;
  private readonly query: BlockingQuery<readonly Entry[]>;

  constructor({ context, contact, service }: DirectWatchOptions) {
    this.contact = contact;
    this.what = service.label;
    this.query = new BlockingQuery({
      context,
      path: healthPath(service.source),
      query: healthQuery(service.source),
      decode: (body) => listOf<Entry>(body),
      onAnswer: ({ value: entries, ...answer }) => {
        contact.answered(this.what, context.client.address);
        return service.take({ entries, ...answer });
      },
      onError: (error) => contact.failed(this.what, error, context.client.address),
    });
  }

  start(): void {
    this.query.start();
  }

  stop(): void {
    this.query.stop();
    this.contact.forget(this.what);
  }
}
