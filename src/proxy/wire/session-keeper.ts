// Which sessions with an endpoint are kept, and for how long. A resumed session shows no certificate, so only
// sessions of a verified endpoint are kept, and none is offered after that endpoint's certificate has expired.

export interface SessionStore {
  /** The latest, to be resumed; null: none. */
  session: Buffer | null;
  /** When the certificate that was verified for `session` expires, ms since the epoch. */
  sessionUntilMs: number;
}

/** The session to offer to the endpoint; null: none, or its certificate has expired. */
export function sessionOf(store: SessionStore, wallMs: number): Buffer | null {
  if (store.session !== null && wallMs > store.sessionUntilMs) store.session = null;
  return store.session;
}

/** Of one connection. */
export class SessionKeeper {
  private readonly store: SessionStore;
  /** A resumed session is followed by new ones, which are good for as long as it was. */
  private untilMs: number;
  private isBelieved = false;
  private unproven: Buffer | null = null;

  constructor(store: SessionStore) {
    this.store = store;
    this.untilMs = store.session === null ? Infinity : store.sessionUntilMs;
  }

  /** The peer has shown a certificate that expires at `untilMs`, ms since the epoch. */
  certifiedUntil(untilMs: number): void {
    this.untilMs = untilMs;
  }

  /** The peer has given a session. */
  take(session: Buffer): void {
    if (this.isBelieved) this.keep(session);
    else this.unproven = session;
  }

  /** The peer is who it should be. */
  believed(): void {
    this.isBelieved = true;
    if (this.unproven !== null) this.keep(this.unproven);
    this.unproven = null;
  }

  private keep(session: Buffer): void {
    this.store.session = session;
    this.store.sessionUntilMs = this.untilMs;
  }
}
