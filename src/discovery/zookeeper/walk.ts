// What one session reads: the folders that are wanted, and whatever its watches tell. It ends with its
// session; the next one has a walk of its own.
import type { Clock } from '../../base/clock.ts';
import { BOUNDS, formatBound } from '../../model/bounds.ts';
import { ZookeeperError } from './error.ts';
import { Folder, type FolderPlace, type Item, type Reader, type Znode } from './folder.ts';
import { ERRORS, EVENTS, readChildren, readData, type Stat, type WatchEvent } from './messages.ts';
import type { Answer, Session } from './session.ts';

export interface WalkOptions {
  readonly session: Session;
  readonly clock: Clock;
  /** What a service holds has changed. */
  readonly onChange: (service: string) => void;
  /** A folder that was wanted was read for the first time. */
  readonly onRead: (service: string) => void;
  /** It is of no use any more. */
  readonly onFailure: (error: unknown) => void;
}

/** What is known of a service. */
export interface Content {
  readonly znodes: ReadonlyMap<string, Znode>;
  readonly problem: string;
}

export class Walk implements Reader {
  readonly clock: Clock;
  /** Of the last transaction that the member knew. */
  zxid = 0;
  private readonly options: WalkOptions;
  private readonly roots = new Map<string, Folder>();
  private readonly folders = new Map<string, Folder>();
  private readonly items = new Map<string, Item>();
  private readonly byService = new Map<string, Folder>();
  /** Services of the wanted folders that were read. */
  private readonly read = new Set<string>();
  private total = 0;
  private isOver = false;

  constructor(options: WalkOptions) {
    this.options = options;
    this.clock = options.clock;
  }

  /** Reads all that is wanted. Resolves when it was read. Never rejects. */
  async want(places: readonly FolderPlace[]): Promise<void> {
    const wanted = new Set(places.map(({ path }) => path));
    for (const [path, root] of this.roots) {
      if (wanted.has(path)) continue;
      this.roots.delete(path);
      this.read.delete(root.place.service);
      root.close();
    }
    const added = places.filter(({ path }) => !this.roots.has(path));
    await Promise.all(added.map((place) => this.begin(place)));
  }

  /** What is below the path of this service; null where nothing was read. */
  contentOf(service: string): Content | null {
    const folder = this.byService.get(service);
    if (folder === undefined) return null;
    return { znodes: folder.znodes, problem: folder.problem };
  }

  /** Whether the service was read, with all others or by itself. */
  hasRead(service: string): boolean {
    return this.read.has('') || this.read.has(service);
  }

  get services(): Iterable<string> {
    return this.byService.keys();
  }

  /** Znodes that are watched. */
  get watches(): number {
    return this.folders.size + this.items.size;
  }

  onEvent({ type, path }: WatchEvent): void {
    const folder = this.folders.get(path);
    const item = this.items.get(path);
    if (type === EVENTS.dataChanged) return void item?.onData();
    if (type === EVENTS.deleted) item?.onDeleted();
    void folder?.look();
  }

  /** Its session is over. */
  stop(): void {
    this.isOver = true;
    for (const root of this.roots.values()) root.close();
  }

  // What folders ask

  async children(path: string): Promise<readonly string[] | null> {
    for (;;) {
      const answer = await this.ask('getChildren2', path);
      if (answer !== null) return readChildren(answer.body, checkNodes);
      // One in a folder is told of by that one; the wanted ones are waited for.
      if (!this.roots.has(path) || (await this.ask('exists', path)) === null) return null;
    }
  }

  async data(path: string): Promise<{ data: Buffer; stat: Stat } | null> {
    const answer = await this.ask('getData', path);
    return answer === null ? null : readData(answer.body);
  }

  count(more: number): void {
    this.total += more;
    if (more > 0) checkNodes(this.total);
  }

  joined(path: string, one: Folder | Item): void {
    if (one instanceof Folder) {
      this.folders.set(path, one);
      this.byService.set(one.place.service, one);
    } else this.items.set(path, one);
  }

  left(path: string, one: Folder | Item): void {
    if (one instanceof Folder) {
      if (this.folders.get(path) === one) this.folders.delete(path);
      const { service } = one.place;
      if (this.byService.get(service) === one) this.byService.delete(service);
    } else if (this.items.get(path) === one) this.items.delete(path);
  }

  onChange(folder: Folder): void {
    if (!this.isOver) this.options.onChange(folder.place.service);
  }

  onFailure(error: unknown): void {
    if (!this.isOver) this.options.onFailure(error);
  }

  private async begin(place: FolderPlace): Promise<void> {
    const root = new Folder(place, this);
    this.roots.set(place.path, root);
    await root.look();
    if (this.isOver || this.roots.get(place.path) !== root) return;
    this.read.add(place.service);
    this.options.onRead(place.service);
  }

  /** Null where there is no such znode. Rejects with ZookeeperError. */
  private async ask(
    op: 'getChildren2' | 'exists' | 'getData',
    path: string,
  ): Promise<Answer | null> {
    try {
      const answer = await this.options.session.ask({ op, path });
      this.zxid = Math.max(this.zxid, answer.zxid);
      return answer;
    } catch (error) {
      if (error instanceof ZookeeperError && error.answered === ERRORS.noNode) return null;
      throw error;
    }
  }
}

/** Throws ZookeeperError where so many znodes are more than are taken. */
function checkNodes(count: number): void {
  const bound = BOUNDS.zookeeperNodes;
  if (count <= bound.max) return;
  const message = `more znodes below the path than are taken: at most ${formatBound(bound)}`;
  throw new ZookeeperError('too-large', message, { isRefusal: true });
}
