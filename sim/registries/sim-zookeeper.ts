// A simulated ensemble of ZooKeeper: three members that speak its client protocol (zookeeper.jute), each by
// its own copy of the tree. Sessions are as long as their connections: the product resumes none. Watches are
// told once. A member may be away, silent, slow, behind, or break connections in mid-frame; the ensemble may
// have no quorum, or begin anew.

import { ZookeeperProvider } from '../../src/discovery/zookeeper/provider.ts';
import type { Channel, ChannelEvents } from '../../src/discovery/zookeeper/wire.ts';
import type { ZookeeperParts } from '../../src/doors.ts';
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { type Change, Ensemble, type Replica, type Znode } from './znodes.ts';

export const ZOOKEEPER_MEMBERS: readonly string[] = [
  '10.7.0.1:2181',
  '10.7.0.2:2181',
  '10.7.0.3:2181',
];
const OPS = { exists: 3, getData: 4, sync: 9, ping: 11, getChildren2: 12, close: -11 };
const EVENTS: Readonly<Record<Change, number>> = { created: 1, deleted: 2, changed: 3 };
const CHILDREN_CHANGED = 4;
const NO_NODE = -101;

/** `mute`: away, and connections to it are never heard of again. */
export type MemberTrouble = 'down' | 'mute' | 'silent' | 'slow' | 'breaking' | 'behind';

interface Trouble {
  readonly how: MemberTrouble;
  readonly untilMs: number;
}

export class SimZookeeper {
  readonly ensemble: Ensemble;
  questions = 0;
  readonly open = new Set<Connection>();
  readonly kernel: Kernel;
  readonly chance: Chance;
  private readonly troubles = new Map<number, Trouble>();
  private connections = 0;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.chance = kernel.chance('zookeeper');
    const count = ZOOKEEPER_MEMBERS.length;
    this.ensemble = new Ensemble(kernel, count, (member) => this.lagOf(member));
    for (const [member, replica] of this.ensemble.replicas.entries()) {
      replica.onChange = (path, change) => {
        for (const one of [...this.open]) if (one.member === member) one.changed(path, change);
      };
    }
    this.ensemble.onApplied = () => {
      for (const one of [...this.open]) one.goOn();
    };
  }

  parts(isDead: () => boolean): ZookeeperParts {
    const { kernel } = this;
    // What it draws is its own, so that other registries see what they saw without it.
    const draws = kernel.chance('zookeeper client');
    const Provider = class extends ZookeeperProvider {
      constructor(options: ConstructorParameters<typeof ZookeeperProvider>[0]) {
        super({ ...options, random: () => draws.next() });
      }
    };
    return {
      ZookeeperProvider: Provider,
      openZookeeper: ({ server }, events) => {
        const member = ZOOKEEPER_MEMBERS.indexOf(`${server.address}:${server.port}`);
        this.connections += 1;
        const chance = kernel.chance(`zookeeper connection ${this.connections}`);
        return new Connection(this, { member, events, isDead, chance });
      },
    };
  }

  // Troubles

  begin(member: number, how: MemberTrouble, untilMs: number): void {
    this.troubles.set(member, { how, untilMs });
    if (how === 'down' || how === 'mute') this.breakAll((one) => one.member === member, how);
    if (!this.hasQuorum) this.breakAll(() => true);
  }

  trouble(member: number): Trouble | null {
    const known = this.troubles.get(member);
    return known !== undefined && known.untilMs > this.kernel.nowMs ? known : null;
  }

  isDown(member: number): boolean {
    const how = this.trouble(member)?.how;
    return how === 'down' || how === 'mute';
  }

  get hasQuorum(): boolean {
    const up = ZOOKEEPER_MEMBERS.keys().filter((member) => !this.isDown(member));
    return !this.ensemble.isLeaderless && [...up].length >= 2;
  }

  loseQuorum(forMs: number): void {
    this.ensemble.isLeaderless = true;
    this.breakAll(() => true);
    this.kernel.after(forMs, () => this.findLeader());
  }

  findLeader(): void {
    if (this.ensemble.isLeaderless) this.ensemble.elect();
  }

  /** Connections break; some of them in the middle of a message. */
  breakAll(which: (one: Connection) => boolean, how = 'down'): void {
    for (const one of [...this.open]) {
      if (!which(one)) continue;
      if (how === 'mute') one.isMute = true;
      else one.break('read ECONNRESET');
    }
  }

  /** A process has died. */
  cutDead(): void {
    for (const one of [...this.open]) if (one.isForgotten) one.destroy();
  }

  endTroubles(): void {
    this.troubles.clear();
    this.findLeader();
  }

  private lagOf(member: number): number {
    const trouble = this.trouble(member);
    const plainMs = this.chance.between(0.2, 20);
    return trouble?.how === 'behind'
      ? Math.min(8000, trouble.untilMs - this.kernel.nowMs)
      : plainMs;
  }
}

interface ConnectionOptions {
  readonly member: number;
  readonly events: ChannelEvents;
  readonly isDead: () => boolean;
  readonly chance: Chance;
}

/** One connection of the product's to a member, and the session on it. */
class Connection implements Channel {
  readonly member: number;
  /** Nothing passes any more, in either direction, and nobody says so. */
  isMute = false;
  private readonly zookeeper: SimZookeeper;
  private readonly replica: Replica;
  private readonly options: ConnectionOptions;
  private readonly dataWatches = new Set<string>();
  private readonly childWatches = new Set<string>();
  private readonly waiting: { readonly frame: Buffer; readonly length: number }[] = [];
  private bytes: Buffer = Buffer.alloc(0);
  private hasSession = false;
  private isOver = false;
  /** Nothing that is sent later arrives before these. */
  private upMs = 0;
  private downMs = 0;

  constructor(zookeeper: SimZookeeper, options: ConnectionOptions) {
    this.zookeeper = zookeeper;
    this.options = options;
    this.member = options.member;
    this.replica = zookeeper.ensemble.replicas[options.member]!;
    zookeeper.open.add(this);
    const { kernel } = zookeeper;
    kernel.after(options.chance.between(0.2, 4), () => {
      if (this.isOver) return;
      if (zookeeper.isDown(this.member)) return this.fail('connect ECONNREFUSED');
      if (this.stalledMs > 0) return;
      this.tell(() => options.events.onOpen());
    });
  }

  get isForgotten(): boolean {
    return this.options.isDead();
  }

  private tell(run: () => void): void {
    if (!this.isOver && !this.isForgotten && !this.isMute) run();
  }

  /** How long nothing passes from now on. */
  private get stalledMs(): number {
    const trouble = this.zookeeper.trouble(this.member);
    return trouble?.how === 'silent' ? trouble.untilMs - this.zookeeper.kernel.nowMs : 0;
  }

  // The client's side

  write(bytes: Buffer): void {
    const { kernel } = this.zookeeper;
    const wayMs = this.stalledMs + this.options.chance.between(0.1, 3);
    this.upMs = Math.max(this.upMs, kernel.nowMs + wayMs);
    kernel.at(this.upMs, () => this.take(bytes));
  }

  destroy(): void {
    this.leave();
  }

  end(): void {
    this.leave();
  }

  private leave(): void {
    this.isOver = true;
    this.zookeeper.open.delete(this);
  }

  private fail(text: string): void {
    if (this.isOver || this.isMute) return;
    const { isForgotten } = this;
    this.leave();
    if (!isForgotten) this.options.events.onEnd(new Error(text));
  }

  /** The member's side ends it, maybe within a message. */
  break(text: string): void {
    if (this.isMute) return;
    const { chance, events } = this.options;
    if (this.hasSession && chance.happens(0.5)) {
      const [frame] = [reply(-2, this.replica.zxid, 0, [])];
      this.tell(() => events.onData(frame.subarray(0, chance.int(1, frame.length - 1))));
    }
    this.fail(text);
  }

  // The member's side

  private take(bytes: Buffer): void {
    if (this.isOver || this.isMute) return;
    this.bytes = Buffer.concat([this.bytes, bytes]);
    while (this.bytes.length >= 4) {
      const end = 4 + this.bytes.readInt32BE(0);
      if (this.bytes.length < end) return;
      const frame = this.bytes.subarray(4, end);
      this.bytes = this.bytes.subarray(end);
      this.waiting.push({ frame, length: this.zookeeper.ensemble.length });
    }
    this.goOn();
  }

  /** Serves what waits, in order; `sync` until the member has what the leader had when it was asked. */
  goOn(): void {
    for (let next = this.waiting[0]; next !== undefined && !this.isOver; next = this.waiting[0]) {
      const isSync = this.hasSession && next.frame.readInt32BE(4) === OPS.sync;
      if (isSync && this.replica.applied < next.length) return;
      this.waiting.shift();
      this.serve(next.frame);
    }
  }

  private serve(frame: Buffer): void {
    const { zookeeper, replica } = this;
    zookeeper.questions += 1;
    if (!zookeeper.hasQuorum) return this.fail('closed the connection');
    if (!this.hasSession) {
      this.hasSession = true;
      const timeoutMs = frame.readInt32BE(12);
      return this.send(
        framed([int(0), int(timeoutMs), long(7), text('x'.repeat(16)), bool(false)]),
      );
    }
    const [xid, op] = [frame.readInt32BE(0), frame.readInt32BE(4)];
    if (op === OPS.ping) return this.send(reply(-2, replica.zxid, 0, []));
    if (op === OPS.close) return this.fail('closed the connection');
    const path = frame.toString('utf8', 12, 12 + frame.readInt32BE(8));
    const znode = replica.tree.get(path);
    const isWatched = op !== OPS.sync && frame.at(-1) === 1;
    if (op === OPS.sync) return this.send(reply(xid, replica.zxid, 0, [text(path)]));
    // `exists` watches what is not there as well.
    if (isWatched && op === OPS.exists) this.dataWatches.add(path);
    if (znode === undefined) return this.send(reply(xid, replica.zxid, NO_NODE, []));
    if (isWatched && op === OPS.getData) this.dataWatches.add(path);
    if (isWatched && op === OPS.getChildren2) this.childWatches.add(path);
    const names = replica.childrenOf(path);
    const stat = statOf(znode, names.length);
    const lists = [int(names.length), ...names.map((name) => text(name))];
    const parts = op === OPS.getData ? [text(znode.data)] : op === OPS.getChildren2 ? lists : [];
    this.send(reply(xid, replica.zxid, 0, [...parts, stat]));
  }

  changed(path: string, change: Change): void {
    const isWatched = this.dataWatches.delete(path);
    const wasListed = change === 'deleted' && this.childWatches.delete(path);
    if (isWatched || wasListed) this.event(EVENTS[change], path);
    if (change === 'changed') return;
    const parent = path.slice(0, path.lastIndexOf('/')) || '/';
    if (this.childWatches.delete(parent)) this.event(CHILDREN_CHANGED, parent);
  }

  private event(type: number, path: string): void {
    this.send(reply(-1, -1, 0, [int(type), int(3), text(path)]));
  }

  private send(frame: Buffer): void {
    const { zookeeper, options } = this;
    const { kernel } = zookeeper;
    const { chance, events } = options;
    const how = zookeeper.trouble(this.member)?.how;
    const slowMs = how === 'slow' ? chance.between(0, 3000) : 0;
    const wayMs = this.stalledMs + slowMs + chance.between(0.1, 3);
    const cut = chance.happens(0.3) && frame.length > 1 ? chance.int(1, frame.length - 1) : 0;
    this.downMs = Math.max(this.downMs, kernel.nowMs + wayMs);
    if (how === 'breaking' && chance.happens(0.3)) {
      kernel.at(this.downMs, () => {
        if (cut > 0) this.tell(() => events.onData(frame.subarray(0, cut)));
        this.fail('read ECONNRESET');
      });
      return;
    }
    const deliver = (bytes: Buffer): void => {
      kernel.at(this.downMs, () => this.tell(() => events.onData(bytes)));
    };
    if (cut === 0) return deliver(frame);
    deliver(frame.subarray(0, cut));
    this.downMs += chance.between(0, 2);
    deliver(frame.subarray(cut));
  }
}

// The protocol's words: big-endian numbers, and a length before texts, lists and messages.

function int(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function long(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
}

function bool(value: boolean): Buffer {
  return Buffer.of(value ? 1 : 0);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([int(bytes.length), bytes]);
}

function framed(parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([int(body.length), body]);
}

function reply(xid: number, zxid: number, error: number, parts: readonly Buffer[]): Buffer {
  return framed([int(xid), long(zxid), int(error), ...(error === 0 ? parts : [])]);
}

function statOf({ created, modified, isEphemeral, data }: Znode, children: number): Buffer {
  return Buffer.concat([
    ...[long(created), long(modified), long(0), long(0), int(0), int(0), int(0)],
    ...[long(isEphemeral ? 0x1_0000_0001 : 0), int(data.length), int(children), long(modified)],
  ]);
}
