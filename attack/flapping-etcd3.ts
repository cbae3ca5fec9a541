// The v3 API of an etcd whose keys come and go as fast as they are read: a list, and a watch that tells of what
// happens after it. What has happened at a revision follows from its number.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { readJsonOf } from './sockets.ts';

const KEYS = 500;
/** An attack is bounded: so many events are written every so often, where there is room. */
const STEP = 50;
const STEP_MS = 10;

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const headerAt = (revision: number) => ({
  cluster_id: '77',
  member_id: '1',
  revision: `${revision}`,
});
const isSetAt = (revision: number): boolean => Math.floor(revision / KEYS) % 2 === 0;

export class FlappingEtcd3 {
  isFlapping = false;
  /** Events that were told. */
  told = 0;
  private revision = 1;
  /** Each tells more of what happens, where it has room. */
  private readonly watching = new Set<() => void>();

  flap(): void {
    if (this.isFlapping) return;
    this.isFlapping = true;
    for (const tell of this.watching) tell();
  }

  /** Answers a question of the JSON gateway. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = await readJsonOf<Asked>(request);
    response.writeHead(200, { 'content-type': 'application/json' });
    if (request.url === '/v3/watch') this.watch(asked, response);
    else response.end(JSON.stringify(this.range(asked)));
  }

  /** All keys at once; of those that are asked for by revision there is the newest. */
  private range(asked: Asked): object {
    const prefix = prefixOf(asked);
    const from = Math.max(1, this.revision - KEYS + 1);
    const at = Array.from({ length: this.revision - from + 1 }, (_, i) => from + i).filter(isSetAt);
    const isLook = asked.min_mod_revision !== undefined;
    const kvs = isLook ? [] : at.map((one) => kvAt(prefix, one));
    return { header: headerAt(this.revision), kvs, count: String(at.length) };
  }

  private watch(asked: Asked, response: ServerResponse): void {
    const { create_request: request = {} } = asked;
    const prefix = prefixOf(request);
    let next = Number(request.start_revision ?? 1);
    response.write(line({ header: headerAt(this.revision), created: true }));
    const tell = (): void => {
      if (!this.isFlapping || response.destroyed) return;
      let hasRoom = true;
      for (let i = 0; i < STEP && hasRoom; i += 1) {
        this.told += 1;
        hasRoom = response.write(line({ header: headerAt(next), events: [eventAt(prefix, next)] }));
        this.revision = Math.max(this.revision, next);
        next += 1;
      }
      if (hasRoom) setTimeout(tell, STEP_MS).unref();
    };
    response.on('drain', tell);
    response.on('close', () => this.watching.delete(tell));
    this.watching.add(tell);
    tell();
  }
}

interface Asked {
  readonly key?: string;
  readonly min_mod_revision?: string;
  readonly start_revision?: string;
  readonly create_request?: Asked;
}

/** Without the slash at its end. */
function prefixOf({ key = '' }: Asked): string {
  return Buffer.from(key, 'base64').toString().replace(/\/$/, '');
}

function line(result: object): string {
  return `${JSON.stringify({ result })}\n`;
}

function kvAt(prefix: string, revision: number) {
  const number = revision % KEYS;
  return {
    key: base64(`${prefix}/flapping3/key-${number}`),
    value: base64(`127.49.${number >> 8}.${number & 255}:9`),
    ...{ create_revision: `${revision}`, mod_revision: `${revision}`, version: '1' },
  };
}

function eventAt(prefix: string, revision: number): object {
  const { key, mod_revision, ...rest } = kvAt(prefix, revision);
  if (isSetAt(revision)) return { kv: { key, mod_revision, ...rest } };
  return { type: 'DELETE', kv: { key, mod_revision } };
}
