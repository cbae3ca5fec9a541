// Accepts what waits behind a connection that libuv has handed over. libuv accepts one in each turn of its
// loop: while many connect, a turn does next to nothing, and the peers, who are out of work after each,
// have to be woken again and again, which costs more than serving them. So the rest is accepted here, by
// the system's own call. Node has that in node:ffi alone, which is experimental: where it is missing or
// refused, libuv's way goes on by itself.
import { closeSync } from 'node:fs';
import { CONNECTION, type SystemHandles, type TcpHandle } from './system-handles.ts';

/** Accepted in one turn at the most: what else there is to do may not wait for a whole backlog. */
export const ACCEPTED_MAX = 64;

/** accept4(2), on processors where Linux has this number. */
const SOCK_CLOEXEC = 0o2000000;
const PROCESSORS: readonly string[] = ['x64', 'arm64'];

/** Returns the descriptor of a connection that waited at this listening one; negative: there is none. */
type AcceptNext = (listening: number) => number;

/** What we use of node:ffi. */
interface ForeignFunctions {
  readonly DynamicLibrary: new (
    path: null,
  ) => {
    getFunction(name: string, signature: object): (...args: unknown[]) => unknown;
  };
}

const acceptNext: AcceptNext | null = findAccept();

/** Whether connections are accepted several at a time here. */
export const canAcceptWaiting = acceptNext !== null;

/** A TCP listener of libuv's. */
export interface ListeningHandle {
  /** Negative once it is closed. */
  readonly fd: number;
}

/**
 * Hands the connections that wait at `listening` to `take`, as many as one turn may have: one was accepted
 * in this turn already. `take` may close the listener.
 */
export function takeWaiting(
  listening: ListeningHandle,
  system: SystemHandles,
  take: (handle: TcpHandle) => void,
): void {
  if (acceptNext === null) return;
  for (let count = 1; count < ACCEPTED_MAX; count += 1) {
    const descriptor = acceptNext(listening.fd);
    if (descriptor < 0) return;
    const handle = new system.TCP(CONNECTION);
    if (handle.open(descriptor) === 0) take(handle);
    else closeSync(descriptor);
  }
}

function findAccept(): AcceptNext | null {
  if (process.platform !== 'linux' || !PROCESSORS.includes(process.arch)) return null;
  try {
    const { DynamicLibrary } = loadQuietly();
    const accept4 = new DynamicLibrary(null).getFunction('accept4', {
      arguments: ['i32', 'pointer', 'pointer', 'i32'],
      return: 'i32',
    });
    const next = (listening: number) =>
      // The system's own number.
      accept4(listening, null, null, SOCK_CLOEXEC) as number;
    return next(-1) === -1 ? next : null;
  } catch {
    return null;
  }
}

/** Node's warning that it is experimental is no news for whoever runs Upriver. */
function loadQuietly(): ForeignFunctions {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    // Absent before Node 26.1.
    return process.getBuiltinModule('node:ffi') as unknown as ForeignFunctions;
  } finally {
    process.emitWarning = emitWarning;
  }
}
