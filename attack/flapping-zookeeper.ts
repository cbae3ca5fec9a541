// A member of ZooKeeper whose znodes are deleted and made again hundreds of times a second.
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { Frames } from '../src/discovery/zookeeper/frames.ts';
import { JuteReader, JuteWriter } from '../src/discovery/zookeeper/jute.ts';
import { BOUNDS } from '../src/model/bounds.ts';
import { children, data, stat } from '../test/support/scripted-zookeeper.ts';

const ZNODES = 500;
/** Half of them are there; so many change every so often. */
const STEP_ZNODES = 20;
const STEP_MS = 10;
const SERVICE = 'flapping';
const OPS = { exists: 3, getData: 4, sync: 9, ping: 11, getChildren2: 12, close: -11 };
const EVENTS = { deleted: 2, childrenChanged: 4 };
const NO_NODE = -101;
const SESSION_MS = 10_000;

type Write = (to: JuteWriter) => void;

export class FlappingZookeeper {
  isFlapping = false;
  /** Znodes that came or went. */
  changed = 0;
  private readonly present = new Set(Array.from({ length: ZNODES / 2 }, (_, i) => `key-${2 * i}`));
  private readonly sessions = new Set<Session>();
  private readonly server = createServer((socket) => {
    const session = new Session(socket, this.present);
    this.sessions.add(session);
    socket.on('close', () => this.sessions.delete(session));
  });
  private readonly storm = setInterval(() => this.step(), STEP_MS).unref();

  async start(): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    // A server that listens on a port has an address with one.
    return (this.server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    clearInterval(this.storm);
    for (const session of this.sessions) session.end();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private step(): void {
    if (!this.isFlapping) return;
    const gone: string[] = [];
    for (let i = 0; i < STEP_ZNODES; i += 1) {
      const name = `key-${this.changed % ZNODES}`;
      this.changed += 1;
      if (this.present.delete(name)) gone.push(name);
      else this.present.add(name);
    }
    for (const session of this.sessions) session.tell(gone);
  }
}

class Session {
  private readonly socket: Socket;
  private readonly present: ReadonlySet<string>;
  private readonly frames = new Frames(BOUNDS.zookeeperAnswer);
  /** Paths whose next change is to be told. */
  private readonly watched = { data: new Set<string>(), children: new Set<string>() };
  private isConnected = false;

  constructor(socket: Socket, present: ReadonlySet<string>) {
    this.socket = socket;
    this.present = present;
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      for (const frame of this.frames.take(bytes)) this.take(new JuteReader(frame));
    });
  }

  end(): void {
    this.socket.destroy();
  }

  tell(gone: readonly string[]): void {
    const [folder] = [...this.watched.children].filter((path) => path.endsWith(`/${SERVICE}`));
    for (const path of this.watched.data) {
      if (!gone.some((name) => path.endsWith(`/${name}`))) continue;
      this.watched.data.delete(path);
      this.event(EVENTS.deleted, path);
    }
    if (folder === undefined) return;
    this.watched.children.delete(folder);
    this.event(EVENTS.childrenChanged, folder);
  }

  private event(type: number, path: string): void {
    const head = new JuteWriter().int(-1).long(-1n).int(0);
    this.socket.write(head.int(type).int(3).text(path).frame());
  }

  private take(asked: JuteReader): void {
    if (!this.isConnected) {
      this.isConnected = true;
      const greeting = new JuteWriter().int(0).int(SESSION_MS).long(7n).buffer(Buffer.alloc(16));
      this.socket.write(greeting.frame());
      return;
    }
    const [xid, op] = [asked.int(), asked.int()];
    if (op === OPS.ping || op === OPS.close) return this.reply(xid, () => {});
    const path = asked.text();
    if (op === OPS.sync) return this.reply(xid, (to) => to.text(path));
    const answer = this.answerOf(op, path);
    if (answer === null) return this.reply(xid, () => {}, NO_NODE);
    // Upriver watches whatever it reads.
    this.watched[op === OPS.getChildren2 ? 'children' : 'data'].add(path);
    this.reply(xid, answer);
  }

  /** Null where there is no such znode. */
  private answerOf(op: number, path: string): Write | null {
    const name = path.slice(path.lastIndexOf('/') + 1);
    const isInstance = name.startsWith('key-');
    if (isInstance && !this.present.has(name)) return null;
    if (op === OPS.getChildren2) {
      if (isInstance) return children();
      return name === SERVICE ? children(...this.present) : children(SERVICE);
    }
    if (op === OPS.exists) return (to) => stat(to);
    const number = Number(name.slice('key-'.length));
    if (isInstance) return data(`127.50.${number >> 8}.${number & 255}:9`);
    return data('', { isEphemeral: false });
  }

  private reply(xid: number, write: Write, error = 0): void {
    const reply = new JuteWriter().int(xid).long(1n).int(error);
    write(reply);
    this.socket.write(reply.frame());
  }
}
