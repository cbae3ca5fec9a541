// WebSockets: the handshake of either protocol (RFC 6455 section 4, RFC 8441), and a stream as the end of a
// conversation without messages.
import { createHash } from 'node:crypto';
import type { Chance } from '../../kernel/chance.ts';
import type { TalkEnd } from '../talk.ts';
import type { Field } from './hpack.ts';
import type { Peer, PeerStream } from './peer.ts';
import { extra, pseudo, type StreamFault, type StreamScript } from './request-script.ts';

/** Of the WebSockets that are asked for in HTTP/2: nobody says anything more, and nobody ends. */
const RESTING_SHARE = 0.06;

const NOTHING = Buffer.alloc(0);
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

const FAULTS: readonly StreamFault[] = [
  'cancels',
  'cancels',
  'cancels',
  'closes',
  'resets',
  'breaks',
];

export function keyOf(id: string): string {
  return Buffer.from(id.padEnd(16, '.').slice(0, 16)).toString('base64');
}

export function acceptOf(key: string): string {
  return createHash('sha1').update(key).update(GUID).digest('base64');
}

/** Null: the request asks for none. */
export function drawTunnel(
  chance: Chance,
  { id, host, faultShare, asks }: { id: string; host: string; faultShare: number; asks: number },
): StreamScript | null {
  if (!chance.happens(asks)) return null;
  // A tunnel lasts: it is there when something happens.
  const fault = chance.happens(2 * faultShare) ? chance.pick(FAULTS) : '';
  const fields: Field[] = [
    ...pseudo(chance, 'CONNECT', { id, host }),
    [':protocol', 'websocket'],
    ...extra(chance),
    ['sec-websocket-version', '13'],
  ];
  return {
    ...{ method: 'GET', fields, body: NOTHING, asked: NOTHING, trailers: [], isHeadAll: false },
    ...{ expects: false, fault, isForbidden: false, isBroken: false, call: null },
    ...{ faultAt: 0, faultMs: chance.happens(0.2) ? 0 : chance.between(0, 150) },
    tunnel: {
      isEarly: chance.happens(0.3),
      rests: fault === '' && chance.happens(RESTING_SHARE),
    },
  };
}

/** A stream, as one side of a conversation has it. */
export class StreamTalkEnd implements TalkEnd {
  private readonly peer: Peer;
  private readonly stream: PeerStream;

  constructor(peer: Peer, stream: PeerStream) {
    this.peer = peer;
    this.stream = stream;
  }

  /** Broken off: a stream that has ended on both sides is no less than a connection that has. */
  get isClosed(): boolean {
    return this.stream.isResetHere || this.stream.isResetThere || this.peer.isOver;
  }

  get isFlushed(): boolean {
    return !this.peer.outgoing.has(this.stream);
  }

  write(bytes: Buffer): void {
    this.peer.outgoing.content(this.stream, bytes, false);
  }

  end(): void {
    if (!this.isClosed) this.peer.outgoing.content(this.stream, NOTHING, true);
  }
}
