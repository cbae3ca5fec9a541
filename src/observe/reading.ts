// Hands what clients send to Node's parser a little at a time, and of all clients together no more than a piece
// of the thread's time in a turn. Of one read Node makes every request that is in it before anything else of the
// thread has its turn, also on a connection that the first of them closed: thousands, of which each costs as much
// again when the connection ends. And many connections may be read in one turn: what is over waits, address by
// address, and a client that sends one request now and then is not behind those that send thousands.
// Nothing is parsed of a connection while it is being answered: who sends ahead gets one answer after the other.
import type { Socket } from 'node:net';
import { ByAddress } from '../base/by-address.ts';
import type { Clock } from '../base/clock.ts';

/** A few requests; whole ones of a client that waits for its answers are rarely longer. */
const PIECE_BYTES = 256;
/**
 * A piece ends with the head of a request: of the one behind it nothing is begun, whose time to arrive would run while
 * it waits here.
 */
const HEAD_END = '\r\n\r\n';
/** Pieces that are parsed at once, as long as nobody waits ... */
const STRAIGHT_PIECES = 4;
/** ... and how long others are parsed in a turn. */
const TURN_MS = 1;

/**
 * What Node says of a socket of its server beside the types: it holds the client back, whose answers wait to be
 * read. test/observe/reading.test.ts looks for it on the Node that is shipped.
 */
interface Served {
  readonly _paused?: boolean;
}

/** Whose requests are read. */
export interface Answered {
  /** A request is there as a whole, and its answer has not left. */
  readonly isAnswering: boolean;
  /** To be called when the answer has left. */
  onIdle: () => void;
}

export class Reading {
  private readonly clock: Clock;
  private readonly waiting = new ByAddress<Reader>();
  /** Pieces that were parsed at once since the last turn. */
  private straight = 0;
  private isScheduled = false;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** To be called when Node's server listens to the socket; its own reading in the parser ends with that. */
  read(socket: Socket, answered: Answered): void {
    new Reader(socket, { reading: this, answered });
  }

  /** For a reader: whether it may parse a piece now. */
  mayParse(): boolean {
    if (this.waiting.size > 0 || this.straight >= STRAIGHT_PIECES) return false;
    this.straight += 1;
    this.schedule();
    return true;
  }

  /** For a reader: it parses its next piece in its turn. */
  wait(reader: Reader): void {
    this.waiting.add(reader);
    this.schedule();
  }

  /** For a reader: its client has gone. */
  leave(reader: Reader): void {
    this.waiting.remove(reader);
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.clock.nextTurn(this.turn);
  }

  private readonly turn = (): void => {
    this.isScheduled = false;
    this.straight = 0;
    const untilMs = this.clock.nowMs() + TURN_MS;
    do {
      const next = this.waiting.next();
      if (next === null) return;
      this.waiting.remove(next);
      next.parse();
    } while (this.clock.nowMs() < untilMs);
    if (this.waiting.size > 0) this.schedule();
  };
}

/** One connection; while it keeps something, it waits in `reading`, and its socket is not read. */
class Reader {
  readonly address: string;
  private readonly socket: Socket;
  private readonly reading: Reading;
  private readonly answered: Answered;
  /** Node's own. */
  private readonly listeners: ((bytes: Buffer) => void)[];
  private kept: Buffer | null = null;

  constructor(socket: Socket, { reading, answered }: { reading: Reading; answered: Answered }) {
    this.socket = socket;
    this.reading = reading;
    this.answered = answered;
    answered.onIdle = this.goOn;
    this.address = socket.remoteAddress ?? '';
    this.listeners = socket.listeners('data') as ((bytes: Buffer) => void)[];
    socket.removeAllListeners('data');
    socket.on('data', this.onData).on('resume', this.goOn).once('close', this.onClose);
  }

  private readonly onData = (bytes: Buffer): void => {
    if (this.kept !== null) {
      // Node has gone on reading: an answer has left.
      this.kept = Buffer.concat([this.kept, bytes]);
      this.hold();
      return;
    }
    this.kept = bytes;
    if (!this.isHeld && this.reading.mayParse()) this.parse();
    else this.hold();
  };

  /** Its parser takes nothing meanwhile; it goes on when Node resumes it, or when its answer has left. */
  private get isHeld(): boolean {
    return this.isHeldByNode || this.answered.isAnswering;
  }

  private get isHeldByNode(): boolean {
    return (this.socket as Served)._paused === true;
  }

  /** Hands over a piece. */
  parse(): void {
    const { kept, listeners, socket } = this;
    if (kept === null || this.isHeld) return;
    const bytes = pieceOf(kept);
    const isMore = kept.length > bytes;
    this.kept = isMore ? kept.subarray(bytes) : null;
    const piece = isMore ? kept.subarray(0, bytes) : kept;
    for (const listener of listeners) listener.call(socket, piece);
    if (socket.destroyed) return;
    if (isMore) this.hold();
    else if (socket.isPaused() && !this.isHeldByNode) socket.resume();
  }

  private readonly goOn = (): void => {
    if (this.kept !== null) this.hold();
  };

  private hold(): void {
    this.socket.pause();
    if (!this.isHeld) this.reading.wait(this);
  }

  private readonly onClose = (): void => {
    this.kept = null;
    this.reading.leave(this);
  };
}

function pieceOf(kept: Buffer): number {
  const end = kept.subarray(0, PIECE_BYTES).indexOf(HEAD_END, 0, 'latin1');
  return end === -1 ? Math.min(PIECE_BYTES, kept.length) : end + HEAD_END.length;
}
