// What a worker takes while the process is short of memory: a few at a time. Not nothing, for memory
// that was freed need not go back to the system, and nobody would be served again. What it had before
// goes on and is not counted: tunnels and streams that last must not keep everybody else out.

/** Requests that a worker takes at a time while memory is short, and TCP sessions. */
export const SHORT_MAX = 16;

export class Places {
  private taken = 0;

  /** Takes a place, to be given back by `leave`; false where there is none. */
  enter(): boolean {
    if (this.taken >= SHORT_MAX) return false;
    this.taken += 1;
    return true;
  }

  leave(): void {
    this.taken -= 1;
  }
}

export class Memory {
  isShort = false;
  readonly requests = new Places();
  readonly sessions = new Places();
}
