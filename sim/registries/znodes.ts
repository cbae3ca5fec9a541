// What an ensemble of ZooKeeper agrees on: a log of transactions, and what each member has applied of it. A
// member that is behind answers by an older tree, and tells of changes later.
import type { Kernel } from '../kernel/kernel.ts';

export interface Znode {
  readonly data: string;
  readonly isEphemeral: boolean;
  readonly created: number;
  readonly modified: number;
}

interface Transaction {
  readonly zxid: number;
  readonly path: string;
  /** Null: it is deleted. */
  readonly znode: Znode | null;
}

export type Change = 'created' | 'deleted' | 'changed';

/** A member's copy of the tree. */
export class Replica {
  readonly tree = new Map<string, Znode>([['/', ROOT]]);
  zxid = 0;
  applied = 0;
  onChange: (path: string, change: Change) => void = () => {};

  childrenOf(path: string): string[] {
    const before = path === '/' ? '/' : `${path}/`;
    return [...this.tree.keys()]
      .filter((one) => one.startsWith(before) && one !== '/')
      .map((one) => one.slice(before.length))
      .filter((name) => !name.includes('/'));
  }

  apply({ zxid, path, znode }: Transaction): void {
    const isThere = this.tree.has(path);
    this.zxid = zxid;
    this.applied += 1;
    if (znode === null) this.tree.delete(path);
    else this.tree.set(path, znode);
    this.onChange(path, znode === null ? 'deleted' : isThere ? 'changed' : 'created');
  }
}

const ROOT: Znode = { data: '', isEphemeral: false, created: 0, modified: 0 };
/** Transactions of an epoch, in the lower half of their ids. */
const EPOCH = 2 ** 32;
const FIRST_EPOCH = 5000;

export class Ensemble {
  readonly replicas: readonly Replica[];
  /** What the leader knows. */
  readonly leader = new Replica();
  isLeaderless = false;
  private readonly kernel: Kernel;
  private readonly lagOf: (member: number) => number;
  private log: Transaction[] = [];
  private epoch = FIRST_EPOCH;
  private losses = 0;
  private counter = 0;
  onCommit: () => void = () => {};
  /** A member has applied something. */
  onApplied: (member: number) => void = () => {};

  /** `lagOf`: how long a member takes to hear of a transaction, ms. */
  constructor(kernel: Kernel, count: number, lagOf: (member: number) => number) {
    this.kernel = kernel;
    this.lagOf = lagOf;
    this.replicas = Array.from({ length: count }, () => new Replica());
  }

  get length(): number {
    return this.log.length;
  }

  put(path: string, data: string, isEphemeral: boolean): void {
    const parent = path.slice(0, path.lastIndexOf('/'));
    if (parent !== '' && !this.leader.tree.has(parent)) this.put(parent, '', false);
    const zxid = this.nextZxid();
    const created = this.leader.tree.get(path)?.created ?? zxid;
    this.commit({ zxid, path, znode: { data, isEphemeral, created, modified: zxid } });
  }

  remove(path: string): void {
    if (this.leader.tree.has(path)) this.commit({ zxid: this.nextZxid(), path, znode: null });
  }

  elect(): void {
    this.isLeaderless = false;
    this.epoch += 1;
    this.counter = 0;
  }

  /** All is lost, and ids of transactions begin anew. */
  beginAnew(): void {
    this.log = [];
    this.losses += 1;
    // Older than whatever came before: that is how it can be told.
    this.epoch = FIRST_EPOCH - 100 * this.losses;
    this.counter = 0;
    for (const replica of [this.leader, ...this.replicas]) {
      replica.tree.clear();
      replica.tree.set('/', ROOT);
      replica.zxid = this.epoch * EPOCH;
      replica.applied = 0;
    }
  }

  private nextZxid(): number {
    this.counter += 1;
    return this.epoch * EPOCH + this.counter;
  }

  private commit(transaction: Transaction): void {
    this.log.push(transaction);
    this.leader.apply(transaction);
    this.onCommit();
    for (const member of this.replicas.keys()) {
      this.kernel.after(this.lagOf(member), () => this.catchUp(member, transaction.zxid));
    }
  }

  /** The member hears of everything up to this transaction. */
  private catchUp(member: number, zxid: number): void {
    const replica = this.replicas[member]!;
    while (replica.applied < this.log.length && this.log[replica.applied]!.zxid <= zxid)
      replica.apply(this.log[replica.applied]!);
    this.onApplied(member);
  }
}
