// A file system by FUSE, in a process of its own: what lies in one folder is seen at another, each access by a message
// of the kernel's. Stopped (SIGSTOP), it is a disk that does not answer. Messages: linux/fuse.h, version 7.31.
//   fuse-server.ts BACKING MOUNT_POINT        says a line once it is mounted
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';

const [backing = '', mountPoint = ''] = process.argv.slice(2);
const HEAD_IN = 40;
const HEAD_OUT = 16;
const ROOT = 1n;
const WRITE_MAX = 128 * 1024;
/** Nothing of a file is kept by the kernel: each access is a message. */
const DIRECT_IO = 1;
const SET_MODE = 1;
const SET_SIZE = 8;
const SET_TIMES = 16 | 32;

const [device, buffer] = [fs.openSync('/dev/fuse', 'r+'), Buffer.alloc(WRITE_MAX + 4096)];
const paths = new Map<bigint, string>([[ROOT, backing]]);
let lastNode = ROOT;

class Refused extends Error {
  readonly errno: number;

  constructor(errno: number) {
    super(`errno ${errno}`);
    this.errno = errno;
  }
}

interface Call {
  readonly node: bigint;
  readonly body: Buffer;
}

/** By opcode: what is answered to a call; null: there is no answer to it. */
const answers: Readonly<Record<number, (call: Call) => Buffer | null>> = {
  1: ({ node, body }) => entry(join(pathOf(node), text(body, 0))),
  2: () => null,
  3: ({ node }) => attributes(pathOf(node)),
  4: ({ node, body }) => {
    const path = pathOf(node);
    const set = body.readUInt32LE(0);
    if ((set & SET_MODE) !== 0) fs.chmodSync(path, body.readUInt32LE(68) & 0o7777);
    if ((set & SET_SIZE) !== 0) fs.truncateSync(path, Number(body.readBigUInt64LE(16)));
    if ((set & SET_TIMES) === SET_TIMES) {
      const [accessed, modified] = [body.readBigUInt64LE(32), body.readBigUInt64LE(40)];
      fs.utimesSync(path, Number(accessed), Number(modified));
    }
    return attributes(path);
  },
  9: ({ node, body }) => {
    const path = join(pathOf(node), text(body, 8));
    fs.mkdirSync(path, body.readUInt32LE(0) & 0o7777);
    return entry(path);
  },
  10: ({ node, body }) => nothing(() => fs.unlinkSync(join(pathOf(node), text(body, 0)))),
  11: ({ node, body }) => nothing(() => fs.rmdirSync(join(pathOf(node), text(body, 0)))),
  12: ({ node, body }) => renamed(node, body, 8),
  13: ({ node, body }) => {
    const path = join(pathOf(node), text(body, 8));
    fs.linkSync(pathOf(body.readBigUInt64LE(0)), path);
    return entry(path);
  },
  14: ({ node, body }) => opened(fs.openSync(pathOf(node), body.readUInt32LE(0) & 3)),
  15: ({ body }) => {
    const bytes = Buffer.alloc(body.readUInt32LE(16));
    const at = Number(body.readBigUInt64LE(8));
    return bytes.subarray(0, fs.readSync(handleOf(body), bytes, 0, bytes.length, at));
  },
  16: ({ body }) => {
    const [at, size] = [Number(body.readBigUInt64LE(8)), body.readUInt32LE(16)];
    const out = Buffer.alloc(8);
    out.writeUInt32LE(fs.writeSync(handleOf(body), body, 40, size, at));
    return out;
  },
  18: ({ body }) => nothing(() => fs.closeSync(handleOf(body))),
  20: ({ body }) => nothing(() => fs.fsyncSync(handleOf(body))),
  25: () => Buffer.alloc(0),
  26: ({ body }) => {
    const out = Buffer.alloc(64);
    out.writeUInt32LE(7, 0);
    out.writeUInt32LE(31, 4);
    out.writeUInt32LE(body.readUInt32LE(8), 8);
    out.writeUInt16LE(16, 16);
    out.writeUInt16LE(12, 18);
    out.writeUInt32LE(WRITE_MAX, 20);
    out.writeUInt32LE(1, 24);
    return out;
  },
  27: () => opened(0),
  28: ({ node, body }) => names(pathOf(node), Number(body.readBigUInt64LE(8))),
  29: () => Buffer.alloc(0),
  30: () => Buffer.alloc(0),
  35: ({ node, body }) => {
    const path = join(pathOf(node), text(body, 16));
    const { O_CREAT, O_EXCL, O_RDWR } = fs.constants;
    const file = fs.openSync(path, O_CREAT | O_EXCL | O_RDWR, body.readUInt32LE(4) & 0o7777);
    return Buffer.concat([entry(path), opened(file)]);
  },
  36: () => null,
  38: () => Buffer.alloc(0),
  42: () => null,
  45: ({ node, body }) => renamed(node, body, 16),
};

function pathOf(node: bigint): string {
  const path = paths.get(node);
  if (path === undefined) throw new Refused(constants.errno.ESTALE);
  return path;
}

function text(body: Buffer, at: number): string {
  return body.toString('utf8', at, body.indexOf(0, at));
}

function handleOf(body: Buffer): number {
  return Number(body.readBigUInt64LE(0));
}

function nothing(work: () => void): Buffer {
  work();
  return Buffer.alloc(0);
}

function renamed(node: bigint, body: Buffer, at: number): Buffer {
  const old = text(body, at);
  const from = join(pathOf(node), old);
  const to = join(pathOf(body.readBigUInt64LE(0)), text(body, at + Buffer.byteLength(old) + 1));
  fs.renameSync(from, to);
  for (const [known, path] of paths) if (path === from) paths.set(known, to);
  return Buffer.alloc(0);
}

/** A node for each look-up: the kernel is told to keep none. */
function entry(path: string): Buffer {
  const attribute = attributeOf(path);
  lastNode += 1n;
  paths.set(lastNode, path);
  const head = Buffer.alloc(40);
  head.writeBigUInt64LE(lastNode, 0);
  return Buffer.concat([head, attribute]);
}

function attributes(path: string): Buffer {
  return Buffer.concat([Buffer.alloc(16), attributeOf(path)]);
}

function attributeOf(path: string): Buffer {
  const stats = fs.lstatSync(path, { bigint: true });
  const out = Buffer.alloc(88);
  const { ino, size, blocks, atimeNs, mtimeNs, ctimeNs, mode, nlink, uid, gid } = stats;
  const times = [atimeNs, mtimeNs, ctimeNs];
  for (const [i, value] of [ino, size, blocks].entries()) out.writeBigUInt64LE(value, 8 * i);
  for (const [i, time] of times.entries()) {
    out.writeBigUInt64LE(time / 1_000_000_000n, 24 + 8 * i);
    out.writeUInt32LE(Number(time % 1_000_000_000n), 48 + 4 * i);
  }
  for (const [i, value] of [mode, nlink, uid, gid].entries()) {
    out.writeUInt32LE(Number(value), 60 + 4 * i);
  }
  out.writeUInt32LE(4096, 80);
  return out;
}

function opened(file: number): Buffer {
  const out = Buffer.alloc(16);
  out.writeBigUInt64LE(BigInt(file), 0);
  out.writeUInt32LE(DIRECT_IO, 8);
  return out;
}

/** All of a small folder at once. */
function names(path: string, from: number): Buffer {
  const parts = fs.readdirSync(path).map((name, i) => {
    const bytes = Buffer.from(name);
    const out = Buffer.alloc(24 + Math.ceil(bytes.length / 8) * 8);
    out.writeBigUInt64LE(BigInt(i + 2), 0);
    out.writeBigUInt64LE(BigInt(i + 1), 8);
    out.writeUInt32LE(bytes.length, 16);
    bytes.copy(out, 24);
    return out;
  });
  return Buffer.concat(parts.slice(from));
}

/** Errors of the system are answered with their number. */
function answer(opcode: number, call: Call): { errno: number; body: Buffer | null } {
  const make = answers[opcode];
  if (make === undefined) return { errno: constants.errno.ENOSYS, body: Buffer.alloc(0) };
  try {
    return { errno: 0, body: make(call) };
  } catch (error) {
    const errno =
      error instanceof Refused ? error.errno : -Number((error as { errno: number }).errno);
    return { errno, body: Buffer.alloc(0) };
  }
}

const owner = `user_id=${process.getuid!()},group_id=${process.getgid!()}`;
const options = ['-i', '-t', 'fuse', '-o', `fd=3,rootmode=40000,${owner}`];
execFileSync('mount', [...options, 'upriver-test', mountPoint], {
  stdio: ['ignore', 'inherit', 'inherit', device],
});
fs.writeSync(1, 'mounted\n');
for (;;) {
  const length = fs.readSync(device, buffer);
  const message = buffer.subarray(0, length);
  const opcode = message.readUInt32LE(4);
  const node = message.readBigUInt64LE(16);
  const { errno, body } = answer(opcode, { node, body: message.subarray(HEAD_IN) });
  if (body === null) continue;
  const head = Buffer.alloc(HEAD_OUT);
  head.writeUInt32LE(HEAD_OUT + body.length, 0);
  head.writeInt32LE(-errno, 4);
  message.copy(head, 8, 8, 16);
  try {
    fs.writeSync(device, Buffer.concat([head, body]));
  } catch (error) {
    // Who asked was interrupted.
    if ((error as { code?: string }).code !== 'ENOENT') throw error;
  }
}
