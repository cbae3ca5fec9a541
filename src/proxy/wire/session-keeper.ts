// Which sessions with an endpoint are kept: those of one that was believed to be who it should be. Whoever
// resumes a session is not asked for a certificate again.

export interface SessionStore {
  session: Buffer | null;
}

/** Of one connection. */
export class SessionKeeper {
  private readonly store: SessionStore;
  private isBelieved = false;
  private unproven: Buffer | null = null;

  constructor(store: SessionStore) {
    this.store = store;
  }

  /** The peer has given a session. */
  take(session: Buffer): void {
    if (this.isBelieved) this.store.session = session;
    else this.unproven = session;
  }

  /** The peer is who it should be. */
  believed(): void {
    this.isBelieved = true;
    if (this.unproven !== null) this.store.session = this.unproven;
    this.unproven = null;
  }
}
