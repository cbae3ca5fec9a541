// Who registers in ZooKeeper, as nerve does: an ephemeral znode of each instance's own session. One that is
// cut off loses its session after a while, and registers again when it is back; one that begins anew leaves the
// znode of its old session until that expires.
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { type Member, placeOf } from './members.ts';
import type { Registrar } from './registrars.ts';
import type { SimZookeeper } from './sim-zookeeper.ts';

export const SESSION_MS = 10_000;
const RETRY_MS = 1000;

interface Wanted {
  member: Member;
  /** Of its session; '' while it has none. */
  path: string;
  cutUntilMs: number;
}

export class ZookeeperRegistrar implements Registrar {
  private readonly kernel: Kernel;
  private readonly zookeeper: SimZookeeper;
  private readonly chance: Chance;
  private readonly wanted = new Map<string, Wanted>();
  private sequence = 0;
  private isOver = false;

  constructor(kernel: Kernel, zookeeper: SimZookeeper) {
    this.kernel = kernel;
    this.zookeeper = zookeeper;
    this.chance = kernel.chance('zookeeper registrars');
  }

  put(member: Member): void {
    const key = keyOf(member);
    const before = this.wanted.get(key);
    if (before !== undefined && this.rewrite(before, member)) return;
    if (before !== undefined) this.leave(before, this.chance.happens(0.5));
    this.wanted.set(key, { member, path: '', cutUntilMs: 0 });
    this.keep(key);
  }

  /** Some write what has changed into the znode that they have. */
  private rewrite(known: Wanted, member: Member): boolean {
    const { ensemble, hasQuorum } = this.zookeeper;
    const isHere = hasQuorum && ensemble.leader.tree.has(known.path);
    if (!isHere || known.cutUntilMs > this.kernel.nowMs || this.chance.happens(0.5)) return false;
    known.member = member;
    ensemble.put(known.path, this.dataOf(member), true);
    return true;
  }

  remove(member: Member, isAtOnce = false): void {
    const key = keyOf(member);
    const known = this.wanted.get(key);
    this.wanted.delete(key);
    if (known !== undefined) this.leave(known, isAtOnce || this.chance.happens(0.7));
  }

  isListed(member: Member): boolean {
    const { tree } = this.zookeeper.ensemble.leader;
    const before = `/services/${member.service}/`;
    for (const [path, { data }] of tree) {
      if (path.startsWith(before) && isAt(data, member)) return true;
    }
    return false;
  }

  /** It can't speak to ZooKeeper for so long. */
  cutOff(member: Member, forMs: number): void {
    const known = this.wanted.get(keyOf(member));
    if (known === undefined) return;
    known.cutUntilMs = this.kernel.nowMs + forMs;
    if (forMs > SESSION_MS) this.expire(known.path, () => known.cutUntilMs > this.kernel.nowMs);
  }

  /** Every session and znode is lost: all register again. */
  lost(): void {
    for (const [key, known] of this.wanted) {
      known.path = '';
      // Some were about to write, and are the first that are seen.
      const isFirst = this.chance.happens(0.3);
      const waitMs = isFirst ? 0 : this.chance.between(300, 8000);
      this.kernel.after(waitMs, () => this.keep(key));
    }
  }

  close(): void {
    this.isOver = true;
  }

  /** Makes the znode as soon as it can. */
  private keep(key: string): void {
    const known = this.wanted.get(key);
    const { zookeeper, kernel } = this;
    if (known === undefined || this.isOver) return;
    const isHere = zookeeper.ensemble.leader.tree.has(known.path);
    if (isHere) return;
    if (!zookeeper.hasQuorum || known.cutUntilMs > kernel.nowMs) {
      kernel.after(RETRY_MS, () => this.keep(key));
      return;
    }
    this.sequence += 1;
    const { service, name } = known.member;
    known.path = `/services/${service}/${name}_${String(this.sequence).padStart(10, '0')}`;
    zookeeper.ensemble.put(known.path, this.dataOf(known.member), true);
  }

  private dataOf(member: Member): string {
    if (member.service !== KIOSK && this.chance.happens(0.2)) return placeOf(member);
    const { address: host, port, name } = member;
    const labels = member.service === KIOSK ? { 'upriver.listen': `${KIOSK_PORT}` } : {};
    return JSON.stringify({ host, port, name, labels });
  }

  /** In order, or by the end of its session. */
  private leave({ path }: Wanted, isOrderly: boolean): void {
    if (path === '') return;
    if (isOrderly && this.zookeeper.hasQuorum) this.zookeeper.ensemble.remove(path);
    else this.expire(path, () => true);
  }

  /** The session of this znode expires while there is a leader to say so, unless it goes on. */
  private expire(path: string, isGone: () => boolean): void {
    const { zookeeper, kernel } = this;
    if (path === '' || this.isOver) return;
    kernel.after(SESSION_MS, () => {
      if (!isGone()) return;
      // A new leader gives every session its whole time again.
      if (!zookeeper.hasQuorum) return this.expire(path, isGone);
      zookeeper.ensemble.remove(path);
      for (const [key, known] of this.wanted) if (known.path === path) this.keep(key);
    });
  }
}

/** The service that says itself where it wants to be served. */
export const KIOSK = 'kiosk';
const KIOSK_PORT = 9600;

function keyOf({ service, name }: Member): string {
  return `${service}/${name}`;
}

function isAt(data: string, member: Member): boolean {
  if (data === placeOf(member)) return true;
  return data.includes(`"host":"${member.address}","port":${member.port},`);
}
