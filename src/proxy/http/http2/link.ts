// The wire of an HTTP/2 connection, and when what its session has to say leaves: in one write at the end
// of the turn, or at once where it is much.
import type { Session } from '../../../http2/session.ts';
import type { Wire } from '../../network.ts';
import type { Due, Turn } from '../turn.ts';

export interface LinkOwner {
  /** Everything that happened in this turn has been told; before what is to be sent leaves. */
  onTurn(): void;
  onBug(error: unknown): void;
}

export class Link implements Due {
  readonly wire: Wire;
  private readonly owner: LinkOwner;
  private readonly turns: Turn;
  private isDue = false;
  /** What an unfinished write refers to: it is written to again when that is done. */
  private lent: Buffer | null = null;

  constructor(wire: Wire, owner: LinkOwner, turns: Turn) {
    this.wire = wire;
    this.owner = owner;
    this.turns = turns;
  }

  /** At the end of the turn the owner is told, and what there is leaves. */
  due(): void {
    if (this.isDue) return;
    this.isDue = true;
    this.turns.add(this);
  }

  turn(): void {
    this.isDue = false;
    try {
      this.owner.onTurn();
    } catch (error) {
      this.owner.onBug(error);
    }
  }

  /** Sends what the session has written, as soon as what went before has left. */
  flush(session: Session): void {
    if (!session.isCongested) this.send(session);
  }

  /** Everything has left: what waited goes on. */
  drained(session: Session): void {
    const { lent } = this;
    this.lent = null;
    if (lent !== null) session.out.takeBack(lent);
    session.drained();
    this.flush(session);
  }

  /** Sends what the session has written, behind what waits: nothing follows. */
  finish(session: Session): void {
    this.send(session);
  }

  private send(session: Session): void {
    const { out } = session;
    if (out.used > 0 && !this.wire.write(out.view())) {
      this.lent = out.abandonBuffer();
      session.isCongested = true;
    } else if (session.streams.size === 0) out.letGo();
    else out.clear();
  }
}
