// A znode that has others below it, as one session reads and watches it: its list, the data of each
// znode in the list, and the folders among them. A watch is told once; reading again sets it again.
//   idle -> reading (-> reading again where a watch was told meanwhile) -> idle
//   reading -> resting, where that goes on -> idle
//   reading, with rests, where most of what a list names is gone when it is asked for -> idle
// While it reads it reports nothing: what takes the place of a znode that is gone is known by then, so
// that a service whose instances are all replaced is never seen without any.
import type { Clock, Timer } from '../../base/clock.ts';
import { ZookeeperError } from './error.ts';
import { ERRORS, errorName, type Stat } from './messages.ts';
import { readZnode, type ZnodeReading } from './record.ts';

/** Whoever may not read it may be allowed to, which no watch tells. */
const REFUSED_RETRY_MS = 10_000;

/** What changes while it is read is read again so often at once, and reported then, however it goes on changing. */
const ROUNDS_MAX = 8;
const REST_MS = 200;

/** Where most of what was listed is gone again by then, it says little of what is there: it is read so often more. */
const UNCLEAR_MAX = 10;

export interface Znode {
  readonly reading: ZnodeReading;
  readonly stat: Stat;
}

/** What the folders of a session have in common. */
export interface Reader {
  readonly clock: Clock;
  /** Null where there is no such znode. Rejects with ZookeeperError. */
  children(path: string): Promise<readonly string[] | null>;
  data(path: string): Promise<{ readonly data: Buffer; readonly stat: Stat } | null>;
  /** So many znodes more or less are known. Throws where that is too much. */
  count(more: number): void;
  joined(path: string, one: Folder | Item): void;
  left(path: string, one: Folder | Item): void;
  /** What the folder holds has changed. */
  onChange(folder: Folder): void;
  /** It can't be read: the session is of no use. */
  onFailure(error: unknown): void;
}

export interface FolderPlace {
  readonly path: string;
  /** The service whose instances are in it: the path below that of all. */
  readonly service: string;
  /** Levels of folders below it that are read. */
  readonly depth: number;
}

export class Folder {
  readonly place: FolderPlace;
  /** By name. */
  private readonly items = new Map<string, Item>();
  /** What it held before it was read again; null while it is not. */
  private before: ReadonlyMap<string, Znode> | null = null;
  /** Why it can't be read; ''. */
  problem = '';
  private readonly reader: Reader;
  private state: 'idle' | 'reading' | 'resting' | 'over' = 'idle';
  private isStale = false;
  /** Names in the list that was read last. */
  private listed = 0;
  private retry: Timer | null = null;
  private resting: Timer | null = null;
  /** Goes on with what rests. */
  private resume: (() => void) | null = null;

  constructor(place: FolderPlace, reader: Reader) {
    this.place = place;
    this.reader = reader;
    reader.joined(place.path, this);
  }

  /** What is in it, by name; while it is read, what was there before. */
  get znodes(): ReadonlyMap<string, Znode> {
    if (this.before !== null) return this.before;
    const known = [...this.items].flatMap(([name, { znode }]) =>
      znode === null ? [] : [[name, znode] as const],
    );
    return new Map(known);
  }

  /** Something in it may have changed. Resolves when it is read, and reported. Never rejects. */
  async look(): Promise<void> {
    this.isStale = true;
    if (this.state !== 'idle') return;
    this.before = this.znodes;
    this.state = 'reading';
    try {
      await this.readRounds();
      for (let more = 0; this.isUnclear && more < UNCLEAR_MAX; more += 1) {
        await this.pause();
        await this.readRounds();
      }
    } catch (error) {
      return this.reader.onFailure(error);
    }
    if (this.isOver) return;
    this.state = 'idle';
    this.before = null;
    if (this.isStale) this.rest();
    this.reader.onChange(this);
  }

  /** A change of one znode in it; those that come while it is read are reported with the others. */
  changed(): void {
    if (this.state !== 'reading') this.reader.onChange(this);
  }

  close(): void {
    if (this.isOver) return;
    this.state = 'over';
    this.retry?.cancel();
    this.resting?.cancel();
    this.resume?.();
    this.reader.left(this.place.path, this);
    for (const item of this.items.values()) item.close();
    this.reader.count(-this.items.size);
    this.items.clear();
    this.reader.onChange(this);
  }

  private get isOver(): boolean {
    return this.state === 'over';
  }

  /** What is known of it would be shown as a service that has lost most instances, or all, and has not. */
  private get isUnclear(): boolean {
    return this.isStale && !this.isOver && 2 * this.known < this.listed;
  }

  private get known(): number {
    let known = 0;
    for (const { znode } of this.items.values()) if (znode !== null) known += 1;
    return known;
  }

  /** It changes faster than it can be read. */
  private rest(): void {
    this.state = 'resting';
    void this.pause().then(() => {
      if (this.isOver) return;
      this.state = 'idle';
      void this.look();
    });
  }

  private async pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.resume = resolve;
    this.resting = this.reader.clock.setTimer(REST_MS, resolve);
    await promise;
    this.resume = null;
  }

  private async readRounds(): Promise<void> {
    for (let round = 0; this.isStale && !this.isOver && round < ROUNDS_MAX; round += 1) {
      await this.read();
    }
  }

  private async read(): Promise<void> {
    this.isStale = false;
    const names = await this.list();
    if (names === null || this.isOver) return;
    this.listed = names.length;
    const present = new Set(names);
    for (const [name, item] of this.items) if (!present.has(name)) this.drop(name, item);
    this.reader.count(names.length - this.items.size);
    const unread = names.filter((name) => this.items.get(name)?.isKnown !== true);
    await Promise.all(unread.map((name) => this.readItem(name)));
  }

  /** The names in it; null where it may not be read: what was known of it stays. */
  private async list(): Promise<readonly string[] | null> {
    const { path, service } = this.place;
    try {
      const names = (await this.reader.children(path)) ?? [];
      this.problem = '';
      return names;
    } catch (error) {
      // Where all services are, nothing is known of any.
      if (!isRefused(error) || service === '') throw error;
      this.problem = unreadable(path, error);
      this.retry?.cancel();
      this.retry = this.reader.clock.setTimer(REFUSED_RETRY_MS, () => void this.look());
      return null;
    }
  }

  private async readItem(name: string): Promise<void> {
    let item = this.items.get(name);
    if (item === undefined) {
      item = new Item(name, this, this.reader);
      this.items.set(name, item);
    }
    await item.read();
    // Gone again since the list: the next one says so too.
    if (item.znode === null && this.items.get(name) === item) this.drop(name, item);
  }

  private drop(name: string, item: Item): void {
    this.items.delete(name);
    this.reader.count(-1);
    item.close();
  }
}

/** A znode in a folder. */
export class Item {
  readonly path: string;
  /** Null before it was read, and where it is gone. */
  znode: Znode | null = null;
  private readonly name: string;
  private readonly parent: Folder;
  private readonly reader: Reader;
  private folder: Folder | null = null;
  private isStale = false;
  private isReading = false;
  private isOver = false;
  /** It changes faster than it can be read, and is read again when this is over. */
  private resting: Timer | null = null;

  constructor(name: string, parent: Folder, reader: Reader) {
    const { path } = parent.place;
    this.name = name;
    this.path = path === '/' ? `/${name}` : `${path}/${name}`;
    this.parent = parent;
    this.reader = reader;
    reader.joined(this.path, this);
  }

  get isKnown(): boolean {
    return this.znode !== null && !this.isStale;
  }

  /** Its data is another. */
  async onData(): Promise<void> {
    this.isStale = true;
    if (this.isReading || this.resting !== null) return;
    try {
      await this.read();
    } catch (error) {
      return this.reader.onFailure(error);
    }
    // One that is gone is left out by the list of its folder, which knows what came in its place.
    if (!this.isOver && this.znode !== null) this.parent.changed();
  }

  /** It was deleted, and may be there again: the list of its folder, which is read next, says so. */
  onDeleted(): void {
    this.isStale = true;
    void this.parent.look();
  }

  /** Rejects with ZookeeperError. */
  async read(): Promise<void> {
    this.isReading = true;
    try {
      let rounds = 0;
      do {
        this.isStale = false;
        this.znode = await this.ask();
        rounds += 1;
      } while (this.isStale && this.znode !== null && !this.isOver && rounds < ROUNDS_MAX);
    } finally {
      this.isReading = false;
    }
    if (this.isStale && this.znode !== null && !this.isOver) this.rest();
    await this.follow();
  }

  close(): void {
    this.isOver = true;
    this.resting?.cancel();
    this.reader.left(this.path, this);
    this.folder?.close();
    this.folder = null;
  }

  private rest(): void {
    this.resting ??= this.reader.clock.setTimer(REST_MS, () => {
      this.resting = null;
      void this.onData();
    });
  }

  private async ask(): Promise<Znode | null> {
    try {
      const answer = await this.reader.data(this.path);
      if (answer === null) return null;
      const { data, stat } = answer;
      return { reading: readZnode(this.name, data, stat.isEphemeral), stat };
    } catch (error) {
      if (!isRefused(error)) throw error;
      const text = unreadable(this.path, error);
      const stat = { created: 0, modified: 0, isEphemeral: true };
      return { reading: { kind: 'problem', text }, stat };
    }
  }

  /** Reads what is below it: nothing is below what is ephemeral. */
  private async follow(): Promise<void> {
    const { path, service, depth } = this.parent.place;
    const mayHold = this.znode !== null && !this.znode.stat.isEphemeral && depth > 0;
    if (!mayHold || this.isOver) {
      this.folder?.close();
      this.folder = null;
      return;
    }
    if (this.folder !== null) return;
    const below = service === '' ? this.name : `${service}/${this.name}`;
    const place = { path: `${path === '/' ? '' : path}/${this.name}`, service: below };
    this.folder = new Folder({ ...place, depth: depth - 1 }, this.reader);
    await this.folder.look();
  }
}

/** It is about this path alone: no right to it, or no path that the member takes. */
function isRefused(error: unknown): error is ZookeeperError {
  return error instanceof ZookeeperError && REFUSALS.includes(error.answered);
}

const REFUSALS: readonly number[] = [ERRORS.noAuth, ERRORS.badArguments];

function unreadable(path: string, { answered }: ZookeeperError): string {
  return `znode ${path}: can't be read: ${errorName(answered)}`;
}
