// The messages of ZooKeeper's client protocol that reading takes: bytes from questions, and what
// answers say. Pure. Source: zookeeper.jute, ZooDefs.OpCode, KeeperException.Code.
import { BOUNDS } from '../../model/bounds.ts';
import { JuteReader, JuteWriter } from './jute.ts';

/** The kinds of questions. */
const OPS = {
  exists: 3,
  getData: 4,
  sync: 9,
  ping: 11,
  getChildren2: 12,
  auth: 100,
  close: -11,
} as const;

/** Numbers of messages that answer no question of ours, or one of their own kind. */
export const XIDS = { event: -1, ping: -2, auth: -4 } as const;

export const EVENTS = { created: 1, deleted: 2, dataChanged: 3, childrenChanged: 4 } as const;

export const ERRORS = { badArguments: -8, noNode: -101, noAuth: -102, authFailed: -115 } as const;

/** Names of errors that a reader can meet. */
const ERROR_NAMES: Readonly<Record<number, string>> = {
  [-1]: 'SystemError',
  [-2]: 'RuntimeInconsistency',
  [-3]: 'DataInconsistency',
  [-4]: 'ConnectionLoss',
  [-5]: 'MarshallingError',
  [-6]: 'Unimplemented',
  [-7]: 'OperationTimeout',
  [ERRORS.badArguments]: 'BadArguments',
  [ERRORS.noNode]: 'NoNode',
  [ERRORS.noAuth]: 'NoAuth',
  [-112]: 'SessionExpired',
  [ERRORS.authFailed]: 'AuthFailed',
  [-118]: 'SessionMoved',
  [-124]: 'SessionClosedRequireSaslAuth',
};

/** `NoAuth (-102)`. */
export function errorName(code: number): string {
  return `${ERROR_NAMES[code] ?? 'error'} (${code})`;
}

/** What is known of a znode beside its data. */
export interface Stat {
  /** Ids of the transactions that made it, and changed it last. */
  readonly created: number;
  readonly modified: number;
  /** It goes with the session of whoever made it. */
  readonly isEphemeral: boolean;
}

/** The first message of a connection: a new session. `readOnly` members are not wanted. */
export function connectFrame(timeoutMs: number): Buffer {
  const [version, zxid, session, password] = [0, 0n, 0n, Buffer.alloc(16)] as const;
  return new JuteWriter()
    .int(version)
    .long(zxid)
    .int(timeoutMs)
    .long(session)
    .buffer(password)
    .bool(false)
    .frame();
}

/** What the first answer says: the timeout that holds, ms; 0 where the session was refused. */
export function readConnected(frame: Buffer): { readonly timeoutMs: number } {
  const reader = new JuteReader(frame);
  reader.int();
  const timeoutMs = reader.int();
  reader.long();
  reader.buffer();
  return { timeoutMs: Math.max(0, timeoutMs) };
}

/** AddAuth: `auth` is user:password with the scheme digest. */
export function authFrame(scheme: string, auth: string): Buffer {
  const head = new JuteWriter().int(XIDS.auth).int(OPS.auth).int(0);
  return head.text(scheme).text(auth).frame();
}

export function pingFrame(): Buffer {
  return new JuteWriter().int(XIDS.ping).int(OPS.ping).frame();
}

export function closeFrame(xid: number): Buffer {
  return new JuteWriter().int(xid).int(OPS.close).frame();
}

/** One of the questions about a path. `isWatched`: the next change is told. */
export interface Question {
  readonly op: 'exists' | 'getData' | 'sync' | 'getChildren2';
  readonly path: string;
  readonly isWatched?: boolean;
}

export function questionFrame(xid: number, { op, path, isWatched = true }: Question): Buffer {
  const writer = new JuteWriter().int(xid).int(OPS[op]).text(path);
  if (op !== 'sync') writer.bool(isWatched);
  return writer.frame();
}

/** What stands before every answer but the first. */
export interface ReplyHead {
  readonly xid: number;
  /** Of the last transaction that the member knows. */
  readonly zxid: number;
  /** 0, or one of ERRORS. */
  readonly error: number;
  /** What follows. */
  readonly body: JuteReader;
}

/** Throws CodedError `bad-message`, as all of these. */
export function readReply(frame: Buffer): ReplyHead {
  const body = new JuteReader(frame);
  return { xid: body.int(), zxid: Number(body.long()), error: body.int(), body };
}

export interface WatchEvent {
  readonly type: number;
  readonly path: string;
}

/** Throws CodedError `bad-message`. The state of the session, which comes with it, is of no use here. */
export function readEvent(body: JuteReader): WatchEvent {
  const type = body.int();
  body.int();
  return { type, path: body.text() };
}

export function readData(body: JuteReader): { readonly data: Buffer; readonly stat: Stat } {
  return { data: body.buffer(), stat: readStat(body) };
}

/**
 * The names of the znodes below one. What no znode can be called is left out. `onCount` may refuse so many
 * before they are read.
 */
export function readChildren(body: JuteReader, onCount: (count: number) => void): string[] {
  const names = body.texts(onCount);
  readStat(body);
  return names.filter(isZnodeName);
}

/** One part of a path, as ZooKeeper has it, and not longer than is taken. */
function isZnodeName(name: string): boolean {
  const isPart = name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name);
  return isPart && name.length <= BOUNDS.zookeeperName.max;
}

function readStat(body: JuteReader): Stat {
  const [created, modified] = [Number(body.long()), Number(body.long())];
  body.long();
  body.long();
  for (let i = 0; i < 3; i += 1) body.int();
  const isEphemeral = isOwned(body.long());
  body.int();
  body.int();
  body.long();
  return { created, modified, isEphemeral };
}

/** The owner is also a mark: containers and znodes with a time to live have no session. */
function isOwned(owner: bigint): boolean {
  const bits = BigInt.asUintN(64, owner);
  return bits !== 0n && bits !== 0x8000_0000_0000_0000n && bits >> 56n !== 0xffn;
}
