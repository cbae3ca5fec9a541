// The sessions of one listener by their sources, and which of them gives way when there are too many.
// A source that has sent again after an answer is where it says it is; the sender of a single datagram
// may have made its address up. So a session of the second kind gives way, the one that was silent for
// longest; one of the first kind never does.
// Invariant: a session is in `bySource` from `add` to `remove` or `retire`, in `all` until `remove`, and in
// `unproven` exactly while it is in `all` and not proven.
import { type Aged, type AgeList, append, unlink } from '../limits/age-list.ts';

/** What the table keeps in each session, and nobody else writes. */
export interface TableEntry<S> extends Aged<S> {
  readonly key: string;
  isProven: boolean;
}

export class SessionTable<S extends TableEntry<S>> {
  private readonly bySource = new Map<string, S>();
  private readonly all = new Set<S>();
  private readonly unproven: AgeList<S> = { oldest: null, youngest: null };

  get size(): number {
    return this.all.size;
  }

  /** The session that this source has now; undefined where it has none. */
  get(key: string): S | undefined {
    return this.bySource.get(key);
  }

  /** It is the session of its source from now on. */
  add(session: S): void {
    this.bySource.set(session.key, session);
    this.all.add(session);
    append(this.unproven, session);
  }

  /** Its source has sent, or got, something. */
  touch(session: S): void {
    const { unproven } = this;
    if (session.isProven || session === unproven.youngest || !this.all.has(session)) return;
    unlink(unproven, session);
    append(unproven, session);
  }

  /** Its source has answered an answer. */
  prove(session: S): void {
    if (session.isProven || !this.all.has(session)) return;
    unlink(this.unproven, session);
    session.isProven = true;
  }

  /** What its source sends from now on is another session's. */
  retire(session: S): void {
    if (this.bySource.get(session.key) === session) this.bySource.delete(session.key);
  }

  /** It has ended. */
  remove(session: S): void {
    this.retire(session);
    if (!this.all.delete(session)) return;
    if (!session.isProven) unlink(this.unproven, session);
  }

  /** Who gives way to a new one; null where none does. */
  get victim(): S | null {
    return this.unproven.oldest;
  }

  /** All sessions, as they are now. */
  sessions(): S[] {
    return [...this.all];
  }
}
