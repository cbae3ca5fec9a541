// An etcd v2 whose keys come and go as fast as they are followed: whoever writes to it is the attacker.
// What has happened at an index follows from its number, so it has a history without an end. The same member has
// a store of v3 (flapping-etcd3.ts).
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { FlappingEtcd3 } from './flapping-etcd3.ts';

/** Keys of the service. Each is set, and the next time that it is its turn, deleted. */
const KEYS = 500;
const HEADERS = { 'content-type': 'application/json', 'x-etcd-cluster-id': 'flapping' };

export interface FlappingEtcd {
  readonly port: number;
  /** Events that were told. */
  readonly told: number;
  readonly v3: FlappingEtcd3;
  flap(): void;
  calm(): void;
  stop(): Promise<void>;
}

export async function startFlappingEtcd(): Promise<FlappingEtcd> {
  let isFlapping = false;
  let told = 0;
  let index = 1;
  let waiting: { tell: () => void }[] = [];
  const v3 = new FlappingEtcd3();
  const server = createServer((request, response) => {
    if (request.url!.startsWith('/v3/')) return void v3.answer(request, response);
    if (request.url === '/version') return response.end('{"etcdserver":"3.4.37"}');
    const url = new URL(request.url!, 'http://etcd');
    const prefix = url.pathname.slice('/v2/keys'.length);
    if (url.searchParams.get('wait') !== 'true')
      return answer(response, index, listAt(prefix, index));
    const next = Number(url.searchParams.get('waitIndex'));
    const tell = (): void => {
      told += 1;
      index = Math.max(index, next);
      answer(response, next, eventAt(prefix, next));
    };
    if (isFlapping) tell();
    else waiting.push({ tell });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A server that listens on a port has an address with one.
  const { port } = server.address() as AddressInfo;
  return {
    port,
    v3,
    get told() {
      return told;
    },
    flap: () => {
      isFlapping = true;
      for (const { tell } of waiting) tell();
      waiting = [];
    },
    calm: () => {
      isFlapping = false;
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answer(response: ServerResponse, index: number, body: object): void {
  response.writeHead(200, { ...HEADERS, 'x-etcd-index': String(index) });
  response.end(JSON.stringify(body));
}

const isSetAt = (index: number): boolean => Math.floor(index / KEYS) % 2 === 0;

function nodeAt(prefix: string, index: number) {
  const number = index % KEYS;
  return {
    key: `${prefix}/flapping/key-${number}`,
    value: `127.48.${number >> 8}.${number & 255}:9`,
    ...{ createdIndex: index, modifiedIndex: index },
  };
}

function eventAt(prefix: string, index: number): object {
  return { action: isSetAt(index) ? 'set' : 'delete', node: nodeAt(prefix, index) };
}

/** Of each key the last thing that has happened to it counts. */
function listAt(prefix: string, index: number): object {
  const nodes = [];
  for (let at = Math.max(1, index - KEYS + 1); at <= index; at += 1) {
    if (isSetAt(at)) nodes.push(nodeAt(prefix, at));
  }
  const dir = { key: `${prefix}/flapping`, dir: true, nodes, createdIndex: 1, modifiedIndex: 1 };
  return { action: 'get', node: { key: prefix, dir: true, nodes: [dir] } };
}
