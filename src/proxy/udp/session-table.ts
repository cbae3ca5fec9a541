// The sessions of one listener by their sources, and which of them gives way when there are too many.
// A source that has sent again after an answer is where it says it is; the sender of a single datagram
// may have made its address up. So a session of the second kind gives way, the one that was silent for
// longest; one of the first kind never does.
// Invariant: a session is in `bySource` from `add` to `remove` or `retire`, in `all` until `remove`, and in
// the ring exactly while it is in `all` and not proven.

/** What the table keeps in each session, and nobody else writes. */
export interface TableEntry {
  readonly key: string;
  older: TableEntry | null;
  younger: TableEntry | null;
  isProven: boolean;
}

export class SessionTable<S extends TableEntry> {
  private readonly bySource = new Map<string, S>();
  private readonly all = new Set<S>();
  private oldest: TableEntry | null = null;
  private youngest: TableEntry | null = null;

  get size(): number {
    return this.all.size;
  }

  get(key: string): S | undefined {
    return this.bySource.get(key);
  }

  add(session: S): void {
    this.bySource.set(session.key, session);
    this.all.add(session);
    this.append(session);
  }

  /** Its source has sent, or got, something. */
  touch(session: S): void {
    if (session.isProven || session === this.youngest || !this.all.has(session)) return;
    this.unlink(session);
    this.append(session);
  }

  /** Its source has answered an answer. */
  prove(session: S): void {
    if (session.isProven || !this.all.has(session)) return;
    this.unlink(session);
    session.isProven = true;
  }

  /** What its source sends from now on is another session's. */
  retire(session: S): void {
    if (this.bySource.get(session.key) === session) this.bySource.delete(session.key);
  }

  remove(session: S): void {
    this.retire(session);
    if (!this.all.delete(session)) return;
    if (!session.isProven) this.unlink(session);
  }

  /** Who gives way to a new one; null where none does. */
  get victim(): S | null {
    // The ring has sessions alone.
    return this.oldest as S | null;
  }

  /** All sessions, as they are now. */
  sessions(): S[] {
    return [...this.all];
  }

  private append(session: TableEntry): void {
    session.older = this.youngest;
    session.younger = null;
    if (this.youngest === null) this.oldest = session;
    else this.youngest.younger = session;
    this.youngest = session;
  }

  private unlink(session: TableEntry): void {
    const { older, younger } = session;
    if (older === null) this.oldest = younger;
    else older.younger = younger;
    if (younger === null) this.youngest = older;
    else younger.older = older;
    session.older = null;
    session.younger = null;
  }
}
