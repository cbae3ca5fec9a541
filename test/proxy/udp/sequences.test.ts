// Sequences that are drawn: clients whose ports are used again, endpoints that answer once, twice, late or
// not at all, to whom they should or to strangers, that close and come back; a table that changes, and time
// that passes. Whatever happens, a client gets answers to its own datagrams alone, and in the end every count
// is back at zero.
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { afterEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../../../src/base/prng.ts';
import { freeUdpPort } from '../../support/ports.ts';
import { makeService, makeUdp } from '../../support/service.ts';
import { type Answer, turn, UdpStage } from '../../support/udp-stage.ts';

let stage: UdpStage | null = null;
afterEach(async () => {
  await stage?.close();
  stage = null;
});

const MODES = ['once', 'twice', 'silent', 'late', 'forged'] as const;

class Peer {
  mode: (typeof MODES)[number] = 'once';
  readonly port = freeUdpPort();
  private socket: Socket | null = null;
  private readonly late: [Buffer, RemoteInfo][] = [];
  private readonly stage: UdpStage;
  private readonly stranger: Socket;

  constructor(stage: UdpStage, stranger: Socket) {
    this.stage = stage;
    this.stranger = stranger;
    this.open();
  }

  open(): void {
    this.socket = this.stage.endpoint('', this.onDatagram, this.port).socket;
  }

  close(): void {
    this.socket?.close();
    this.socket = null;
  }

  get isOpen(): boolean {
    return this.socket !== null;
  }

  /** Sends what it was late with. */
  catchUp(): void {
    for (const [bytes, to] of this.late.splice(0)) this.socket?.send(bytes, to.port, to.address);
  }

  private readonly onDatagram: Answer = (bytes, from, socket) => {
    const say = (by: Socket) => by.send(bytes, from.port, from.address);
    if (this.mode === 'late') this.late.push([bytes, from]);
    if (this.mode === 'forged') this.stranger.send('forged', from.port, from.address);
    if (this.mode === 'once' || this.mode === 'twice' || this.mode === 'forged') say(socket);
    if (this.mode === 'twice') say(socket);
  };
}

const STATES = ['up', 'down', 'drain', 'ejected'] as const;
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('whatever is sent, and whoever answers', () => {
  it.each([
    ['any', 1],
    ['any', 2],
    [1, 3],
    [1, 4],
    [2, 5],
    [0, 6],
  ] as const)('with responses %s each gets its own, seed %i', async (responses, seed) => {
    const random = seededRandom(seed);
    const below = (count: number) => Math.floor(random() * count);
    stage = new UdpStage();
    const own = stage;
    const stranger = createSocket('udp4');
    stranger.bindSync({ address: '127.0.0.1' });
    const peers = Array.from({ length: 3 }, () => new Peer(own, stranger));
    const plain = makeService();
    const live = await own.serve(
      peers.map(({ port }) => port),
      {
        udp: makeUdp({ responses: responses === 'any' ? null : responses }),
        limits: { ...plain.limits, connections: 4, perEndpoint: 2 },
        timeouts: { ...plain.timeouts, idleUdpMs: 3000, responseMs: 1000 },
      },
    );
    /** By port: every client that had it. */
    const clients = Array.from({ length: 6 }, () => own.client());
    let sent = 0;
    for (let step = 0; step < 250; step += 1) {
      const which = below(12);
      const peer = peers[below(peers.length)]!;
      if (which < 6) {
        const at = below(clients.length);
        sent += 1;
        clients[at]!.send(`${at} ${sent}`);
      } else if (which === 6) peer.mode = MODES[below(MODES.length)]!;
      else if (which === 7) peer.catchUp();
      else if (which === 8 && peer.isOpen) peer.close();
      else if (which === 8) peer.open();
      else if (which === 9) turn(live, below(3), STATES[below(STATES.length)]!);
      else if (which === 10) own.advance(below(1500));
      else await settle();
      if (below(3) === 0) await settle();
    }
    // All work again, and nobody is passed over.
    for (const [i, peer] of peers.entries()) {
      peer.mode = 'once';
      if (!peer.isOpen) peer.open();
      turn(live, i, 'up');
    }
    own.advance(10_000);
    await own.quiet();
    if (responses !== 0) {
      for (const [at, client] of clients.entries()) {
        const text = `${at} last`;
        await expect
          .poll(() => {
            if (!client.got.includes(text)) client.send(text);
            return client.got;
          })
          .toContain(text);
      }
    }
    for (const [at, client] of clients.entries()) {
      expect(client.got.filter((text) => !text.startsWith(`${at} `))).toEqual([]);
    }
    own.advance(10_000);
    await own.quiet();
    expect(own.reasons('bug')).toBe(0);
    expect(own.serviceCount('datagramsIn')).toBeGreaterThan(sent / 2);
    stranger.close();
  });
});
