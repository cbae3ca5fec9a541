// A session with a member of ZooKeeper that writes, as registrars do: what it made as ephemeral goes with
// it. The product's own client only reads.
import { connect, type Socket } from 'node:net';
import { Frames } from '../../src/discovery/zookeeper/frames.ts';
import { JuteReader, JuteWriter } from '../../src/discovery/zookeeper/jute.ts';
import {
  authFrame,
  connectFrame,
  pingFrame,
  readConnected,
  readReply,
} from '../../src/discovery/zookeeper/messages.ts';
import { BOUNDS } from '../../src/model/bounds.ts';

const OPS = { create: 1, delete: 2, setData: 5, setAcl: 7, close: -11 } as const;
const ALL = 31;
const EPHEMERAL = 1;
const SEQUENTIAL = 2;
/** What an error's `error` is where the znode is there already. */
export const NODE_EXISTS = -110;

export interface ZookeeperWriter {
  /** Makes a znode, and folders above it; resolves to its path, with the number that it got. */
  create(path: string, data?: string, how?: Making): Promise<string>;
  set(path: string, data: string): Promise<void>;
  delete(path: string): Promise<void>;
  /** Lets users alone read and write it. */
  restrict(path: string): Promise<void>;
  /** Ends the session: its ephemerals go at once. */
  close(): Promise<void>;
  /** The connection breaks, and nothing more is sent: its ephemerals go when the session expires. */
  die(): void;
}

export interface Making {
  readonly isEphemeral?: boolean;
  readonly isSequential?: boolean;
}

export interface WriterOptions {
  readonly timeoutMs?: number;
  /** `user:password`. */
  readonly digest?: string;
}

/** Rejects where the member takes no session. */
export async function openWriter(
  port: number,
  { timeoutMs = 10_000, digest = '' }: WriterOptions = {},
): Promise<ZookeeperWriter> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  const replies = new Replies(socket);
  socket.write(connectFrame(timeoutMs));
  const granted = readConnected(await replies.next()).timeoutMs;
  if (granted === 0) throw new Error('no session');
  if (digest !== '') {
    socket.write(authFrame('digest', digest));
    await replies.next();
  }
  const pinging = setInterval(() => socket.write(pingFrame()), granted / 4);
  socket.on('close', () => clearInterval(pinging));
  let xid = 0;
  const ask = async (op: number, write: (to: JuteWriter) => void): Promise<JuteReader> => {
    xid += 1;
    const writer = new JuteWriter().int(xid).int(op);
    write(writer);
    socket.write(writer.frame());
    const { error, body } = readReply(await replies.next());
    if (error !== 0) throw Object.assign(new Error(`ZooKeeper answered ${error}`), { error });
    return body;
  };
  const make = async (path: string, data: string, flags: number): Promise<string> => {
    const body = await ask(OPS.create, (to) => {
      to.text(path).buffer(Buffer.from(data)).int(1).int(ALL).text('world').text('anyone');
      to.int(flags);
    });
    return body.text();
  };
  const made = new Set<string>();
  const makeFolders = async (path: string): Promise<void> => {
    for (let at = path.indexOf('/', 1); at > 0; at = path.indexOf('/', at + 1)) {
      await make(path.slice(0, at), '', 0).catch((error: { error?: number }) => {
        if (error.error !== NODE_EXISTS) throw error;
      });
    }
  };
  return {
    create: async (path, data = '', { isEphemeral = false, isSequential = false } = {}) => {
      const folder = path.slice(0, path.lastIndexOf('/'));
      // What is asked for in one go is sent in its order.
      if (!made.has(folder)) await makeFolders(path);
      made.add(folder);
      const flags = (isEphemeral ? EPHEMERAL : 0) | (isSequential ? SEQUENTIAL : 0);
      return make(path, data, flags);
    },
    set: async (path, data) => {
      await ask(OPS.setData, (to) => void to.text(path).buffer(Buffer.from(data)).int(-1));
    },
    delete: async (path) => {
      await ask(OPS.delete, (to) => void to.text(path).int(-1));
    },
    restrict: async (path) => {
      await ask(OPS.setAcl, (to) => {
        to.text(path).int(1).int(ALL).text('auth').text('').int(-1);
      });
    },
    close: async () => {
      if (socket.destroyed) return;
      const closed = new Promise((resolve) => socket.once('close', resolve));
      await ask(OPS.close, () => {}).catch(() => {});
      socket.destroy();
      await closed;
    },
    die: () => socket.destroy(),
  };
}

/** What is answered, one after the other; pings are passed over. */
class Replies {
  private readonly waiting: { resolve: (frame: Buffer) => void; reject: (error: Error) => void }[] =
    [];
  private readonly frames = new Frames(BOUNDS.zookeeperAnswer);
  private isFirst = true;

  constructor(socket: Socket) {
    const fail = (error: Error): void => {
      for (const { reject } of this.waiting.splice(0)) reject(error);
    };
    socket.on('error', fail);
    socket.on('close', () => fail(new Error('ZooKeeper closed the connection')));
    socket.on('data', (bytes: Buffer) => {
      for (const frame of this.frames.take(bytes)) this.take(frame);
    });
  }

  next(): Promise<Buffer> {
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  private take(frame: Buffer): void {
    const isPing = !this.isFirst && new JuteReader(frame).int() === -2;
    this.isFirst = false;
    if (!isPing) this.waiting.shift()?.resolve(frame);
  }
}
