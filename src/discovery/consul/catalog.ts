// Follows the catalog of a datacenter as a whole: which services there are, which of them describe
// themselves, and which have changed. One blocking query on /v1/catalog/services wakes at every
// change of an instance; where that is waited for, a summary finds out quickly whose, and in any
// case the inventory does.

import type { Contact } from '../contact.ts';
import { ConsulError, outageText } from './answer.ts';
import { BlockingQuery, type ConsulContext, type QueryAnswer } from './blocking-query.ts';
import { Inventory } from './inventory.ts';
import type { FetchedInstance, Standing } from './listed-item.ts';
import { Summary } from './summary.ts';

/** Name -> its tags in one string. */
type Listing = ReadonlyMap<string, string>;

export interface CatalogChange {
  /** Names whose presence, tags or instances have changed. */
  readonly changed: ReadonlySet<string>;
  /** It does not continue what was known: anything may have changed. */
  readonly isFresh: boolean;
  readonly doubt: string;
  readonly change: string;
}

export interface CatalogOptions {
  readonly context: ConsulContext;
  readonly contact: Contact;
  readonly scope: Readonly<Record<string, string>>;
  readonly tagPrefix: string;
}

export class Catalog {
  private readonly options: CatalogOptions;
  private readonly query: BlockingQuery<Listing>;
  private readonly inventory: Inventory;
  /** Null while nobody waits for changes of single instances. */
  private summary: Summary | null = null;
  private readonly listeners = new Set<(change: CatalogChange) => void>();
  private listing: Listing = new Map();
  private last = { doubt: '', change: '' };
  private isListed = false;
  /** Why what is fetched is doubtful until the catalog has answered again; '' when it has. */
  break = '';

  constructor(options: CatalogOptions) {
    this.options = options;
    const { context, contact, scope, tagPrefix } = options;
    const { client } = context;
    const what = 'the catalog';
    const inventoryName = 'the lists of the nodes';
    this.query = new BlockingQuery({
      context,
      path: '/v1/catalog/services',
      query: scope,
      decode: (body) => listingOf(body),
      onAnswer: (answer) => {
        contact.answered(what, client.address);
        return this.take(answer);
      },
      onError: (error) => {
        contact.failed(what, error, client.address);
        this.break = outageText(error);
      },
    });
    this.inventory = new Inventory({
      context,
      scope,
      metaPrefix: `${tagPrefix}-`,
      onRead: (changed) => this.tellRead(changed),
      onError: (error) => {
        if (error === null) contact.answered(inventoryName, client.address);
        else contact.failed(inventoryName, error, client.address);
      },
    });
  }

  /** The list and the inventory have been had, or tried. */
  get isReady(): boolean {
    return this.isListed && this.inventory.isTried;
  }

  /** `described` lacks nothing for want of an answer. */
  get isComplete(): boolean {
    return this.isListed && this.break === '' && this.inventory.isKnown;
  }

  /** Names of services that describe themselves, by tags or Meta. */
  get described(): ReadonlySet<string> {
    const { tagPrefix } = this.options;
    const names = new Set<string>();
    for (const [name, tags] of this.listing) {
      const hasTag = tags.split('\n').some((tag) => tag.startsWith(`${tagPrefix}.`));
      if (hasTag || this.inventory.described.has(name)) names.add(name);
    }
    return names;
  }

  /** What the inventory says of an instance that was fetched. */
  standingOf(instance: FetchedInstance): Standing {
    return this.inventory.standingOf(instance);
  }

  /** `isUrgent`: changes of single instances are waited for. */
  subscribe(listener: (change: CatalogChange) => void, isUrgent: boolean): void {
    this.listeners.add(listener);
    if (!isUrgent || this.summary !== null) return;
    this.inventory.isUrgent = true;
    const { context, scope } = this.options;
    this.summary = new Summary({
      context,
      scope,
      onRead: (changed) => this.tellRead(changed),
    });
    if (this.isListed) this.summary.refresh();
  }

  start(): void {
    this.query.start();
  }

  stop(): void {
    this.query.stop();
    this.inventory.stop();
    this.summary?.stop();
    this.listeners.clear();
  }

  private take({ value, doubt, isFresh, change }: QueryAnswer<Listing>): boolean {
    const changed = new Set<string>();
    for (const name of new Set([...this.listing.keys(), ...value.keys()])) {
      if (this.listing.get(name) !== value.get(name)) changed.add(name);
    }
    const isFirst = !this.isListed;
    this.listing = value;
    this.isListed = true;
    this.break = '';
    this.last = { doubt, change };
    this.summary?.refresh();
    this.inventory.isBehind = this.summary?.isOfUse === true;
    this.inventory.refresh();
    this.tell({ changed, isFresh: isFresh && !isFirst, doubt, change });
    return changed.size > 0;
  }

  /** After an outage it may have been read before the catalog has answered again. */
  private tellRead(changed: ReadonlySet<string>): void {
    const { doubt, change } = this.last;
    this.tell({ changed, isFresh: false, doubt: doubt || this.break, change });
  }

  private tell(change: CatalogChange): void {
    for (const listener of this.listeners) listener(change);
  }
}

/** Name -> tags, of a list of services. Throws ConsulError where it is none. */
export function listingOf(body: unknown): Listing {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new ConsulError('not-a-catalog', 'answered JSON that is no list of services');
  }
  return new Map(
    Object.entries(body).map(([name, tags]) => [
      name,
      Array.isArray(tags) ? tags.filter(isText).sort().join('\n') : '',
    ]),
  );
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
