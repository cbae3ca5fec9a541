// Members of ZooKeeper of which each answer is written by the test, without a socket: for what no real one
// can be made to do.
import { JuteReader, JuteWriter } from '../../src/discovery/zookeeper/jute.ts';
import type { ChannelEvents, OpenZookeeper } from '../../src/discovery/zookeeper/wire.ts';

export interface ScriptedConnection {
  readonly port: number;
  readonly events: ChannelEvents;
  /** Kinds of messages that came, with the path where they have one. */
  readonly asked: string[];
  isOver: boolean;
  /** The first answer of a member. */
  accept(timeoutMs?: number): void;
  /** An answer to the question that was asked longest ago. */
  answer(write?: (to: JuteWriter) => void, more?: { error?: number; zxid?: number }): void;
  event(type: number, path: string): void;
}

export interface ScriptedZookeeper {
  readonly open: OpenZookeeper;
  readonly connections: ScriptedConnection[];
}

const NAMES: Readonly<Record<number, string>> = {
  ...{ 3: 'exists', 4: 'getData', 9: 'sync', 11: 'ping', 12: 'getChildren2', 100: 'auth' },
  [-11]: 'close',
};

/** Connections that open at once; what is answered the test says. */
export function scriptZookeeper(): ScriptedZookeeper {
  const connections: ScriptedConnection[] = [];
  const open: OpenZookeeper = ({ server }, events) => {
    const xids: number[] = [];
    const one: ScriptedConnection = {
      ...{ port: server.port, events, asked: [], isOver: false },
      accept: (timeoutMs = 3000) => {
        const answer = new JuteWriter().int(0).int(timeoutMs).long(7n).buffer(Buffer.alloc(16));
        events.onData(answer.frame());
      },
      answer: (write = () => {}, { error = 0, zxid = 1 } = {}) => {
        const reply = new JuteWriter()
          .int(xids.shift() ?? 0)
          .long(BigInt(zxid))
          .int(error);
        write(reply);
        events.onData(reply.frame());
      },
      event: (type, path) => {
        events.onData(
          new JuteWriter().int(-1).long(-1n).int(0).int(type).int(3).text(path).frame(),
        );
      },
    };
    connections.push(one);
    let isFirst = true;
    queueMicrotask(() => events.onOpen());
    const end = (): void => {
      one.isOver = true;
    };
    return {
      write: (bytes) => {
        const reader = new JuteReader(bytes.subarray(4));
        if (isFirst) {
          isFirst = false;
          return void one.asked.push('connect');
        }
        const [xid, op] = [reader.int(), reader.int()];
        const name = NAMES[op] ?? String(op);
        const hasPath = xid > 0 && name !== 'close';
        one.asked.push(hasPath ? `${name} ${reader.text()}` : name);
        if (hasPath) xids.push(xid);
      },
      destroy: end,
      end,
    };
  };
  return { open, connections };
}

/** A stat of an answer. */
export function stat(to: JuteWriter, { isEphemeral = true, created = 1 } = {}): void {
  to.long(BigInt(created)).long(BigInt(created)).long(0n).long(0n).int(0).int(0).int(0);
  to.long(isEphemeral ? 5n : 0n)
    .int(0)
    .int(0)
    .long(0n);
}

export function children(...names: string[]): (to: JuteWriter) => void {
  return (to) => {
    to.int(names.length);
    for (const name of names) to.text(name);
    stat(to);
  };
}

export function data(text: string, more: Parameters<typeof stat>[1] = {}) {
  return (to: JuteWriter): void => {
    to.buffer(Buffer.from(text));
    stat(to, more);
  };
}
