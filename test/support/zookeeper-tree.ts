// A member of ZooKeeper over a socket that answers from a tree of znodes which never changes: for names and data
// that no real one takes.
import { createServer, type Socket } from 'node:net';
import { JuteReader, JuteWriter } from '../../src/discovery/zookeeper/jute.ts';
import { children, data } from './scripted-zookeeper.ts';

const [NO_NODE, PING, AUTH] = [-101, -2, -4];
const OP_OF = { exists: 3, getData: 4, getChildren2: 12 } as const;

export interface ZookeeperTree {
  readonly port: number;
  stop(): Promise<void>;
}

/** `tree`: data by path; paths above have none and are there. */
export async function startZookeeperTree(
  tree: ReadonlyMap<string, string>,
): Promise<ZookeeperTree> {
  const names = new Map<string, Set<string>>();
  for (const path of tree.keys()) {
    const parts = path.split('/').slice(1);
    for (let i = 0; i < parts.length; i += 1) {
      const parent = `/${parts.slice(0, i).join('/')}`;
      names.set(parent, (names.get(parent) ?? new Set()).add(parts[i]!));
    }
  }
  const isThere = (path: string) => tree.has(path) || names.has(path);
  const answer = (frame: Buffer): Buffer | null => {
    const reader = new JuteReader(frame);
    const [xid, op] = [reader.int(), reader.int()];
    const reply = (error: number) => new JuteWriter().int(xid).long(9n).int(error);
    if (xid === PING || xid === AUTH) return reply(0).frame();
    if (!Object.values(OP_OF).includes(op as never))
      return xid > 0 ? reply(0).text('/').frame() : null;
    const path = reader.text();
    if (!isThere(path)) return reply(NO_NODE).frame();
    const good = reply(0);
    if (op === OP_OF.getChildren2) children(...(names.get(path) ?? []))(good);
    else data(tree.get(path) ?? '', { isEphemeral: tree.has(path) })(good);
    return good.frame();
  };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
    let bytes: Buffer = Buffer.alloc(0);
    let isConnected = false;
    socket.on('data', (piece: Buffer) => {
      bytes = Buffer.concat([bytes, piece]);
      while (bytes.length >= 4 && bytes.length >= 4 + bytes.readInt32BE(0)) {
        const end = 4 + bytes.readInt32BE(0);
        const frame = bytes.subarray(4, end);
        bytes = bytes.subarray(end);
        const first = new JuteWriter().int(0).int(10_000).long(7n).buffer(Buffer.alloc(16));
        const said = isConnected ? answer(frame) : first.frame();
        isConnected = true;
        if (said !== null) socket.write(said);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const at = server.address();
  return {
    port: typeof at === 'object' && at !== null ? at.port : 0,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
