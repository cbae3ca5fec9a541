// What a connection asks of the system's handle, call by call: each is paid for by every connection.
import { describe, expect, it } from 'vitest';
import { HandleSocket } from '../../src/proxy/wire/handle-socket.ts';
import type { SocketWire } from '../../src/proxy/wire/socket-wire.ts';
import type {
  HandleRequest,
  StreamHandle,
  SystemHandles,
  TcpHandle,
  WriteRequest,
} from '../../src/proxy/wire/system-handles.ts';

const WAS_ASYNC = 0;
const READ_COUNT = 1;
const EOF = -4095;

/** A handle that notes what it is asked, and a wire that notes what it is told. */
function stage({ takes = true } = {}) {
  const calls: string[] = [];
  const told: string[] = [];
  const requests: HandleRequest[] = [];
  const state = new Int32Array(2);
  class Request {
    oncomplete = (): void => {};
    owner: unknown = null;
    bytes: Buffer | null = null;
  }
  const note = (name: string) => {
    calls.push(name);
    return 0;
  };
  const handle = {
    writeQueueSize: 10,
    useUserBuffer() {},
    readStart: () => note('read'),
    readStop: () => note('stop'),
    setNoDelay: () => note('prompt'),
    connect: () => note('connect'),
    writeBuffer: (request: WriteRequest, bytes: Buffer) => {
      state[WAS_ASYNC] = takes ? 0 : 1;
      if (!takes) requests.push(request);
      return note(`write ${bytes.length}`);
    },
    shutdown: (request: HandleRequest) => {
      requests.push(request);
      return note('shutdown');
    },
    close: () => void note('close'),
  } as unknown as TcpHandle;
  const system = {
    ...{ TCPConnectWrap: Request, WriteWrap: Request, ShutdownWrap: Request },
    ...{ state, wasAsync: WAS_ASYNC, readCount: READ_COUNT },
  } as unknown as SystemHandles;
  const socket = new HandleSocket(system, handle, Buffer.alloc(64));
  socket.wire = {
    connected: () => void told.push('connected'),
    ended: () => void told.push('ended'),
    closed: () => void told.push('closed'),
  } as unknown as SocketWire;
  const end = (): void => {
    state[READ_COUNT] = EOF;
    handle.onread.call(handle as StreamHandle);
  };
  return { socket, calls, told, requests, end, turn: () => new Promise(setImmediate) };
}

describe('a connection by the system', () => {
  it('asks once what epoll shall look for: reading begins with connecting', () => {
    const { socket, calls, told } = stage();
    socket.connect('127.0.0.1', 1, 4);
    socket.connected(0);
    expect(calls).toEqual(['connect', 'read']);
    expect(told).toEqual(['connected']);
  });

  it('sends small things at once from the second on', () => {
    const { socket, calls } = stage();
    socket.connect('127.0.0.1', 1, 4);
    socket.connected(0);
    calls.length = 0;
    for (let i = 0; i < 3; i += 1) socket.write(Buffer.alloc(100));
    expect(calls).toEqual(['write 100', 'prompt', 'write 100', 'write 100']);
  });

  it('does not let the rest of a large thing wait for what precedes it', () => {
    const { socket, calls } = stage();
    socket.connect('127.0.0.1', 1, 4);
    socket.connected(0);
    calls.length = 0;
    socket.write(Buffer.alloc(2000));
    expect(calls).toEqual(['prompt', 'write 2000']);
  });

  it('asks nothing of one that was accepted, which has it of its listener', () => {
    const { socket, calls } = stage();
    for (let i = 0; i < 2; i += 1) socket.write(Buffer.alloc(2000));
    expect(calls).toEqual(['write 2000', 'write 2000']);
  });

  it('waits for nothing when it says its end with nothing before it', async () => {
    const { socket, calls, told, requests, end, turn } = stage();
    socket.end();
    // Nobody is called when it is sent.
    expect(requests.map(({ owner }) => owner)).toEqual([null]);
    end();
    expect(calls).toEqual(['shutdown', 'close']);
    expect(told).toEqual(['ended']);
    await turn();
    expect(told).toEqual(['ended', 'closed']);
  });

  it('closes only after what the kernel did not take, and its end', async () => {
    const { socket, calls, told, requests, end, turn } = stage({ takes: false });
    socket.write(Buffer.alloc(100));
    socket.end();
    end();
    expect(calls).toEqual(['write 100', 'shutdown']);
    requests[0]!.oncomplete(0);
    expect(calls).toEqual(['write 100', 'shutdown']);
    requests[1]!.oncomplete(0);
    expect(calls).toEqual(['write 100', 'shutdown', 'close']);
    await turn();
    expect(told).toEqual(['ended', 'closed']);
  });

  it('is told of its end once, and never from within what ended it', async () => {
    const { socket, calls, told, turn } = stage();
    const other = stage();
    socket.destroy();
    socket.destroy();
    other.socket.destroy();
    expect([...told, ...other.told]).toEqual([]);
    await turn();
    expect([told, other.told]).toEqual([['closed'], ['closed']]);
    expect(calls).toEqual(['close']);
  });
});
