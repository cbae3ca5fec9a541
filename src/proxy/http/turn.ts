// What leaves at the end of a turn of the event loop: each write may wake its receiver, which costs as much
// as the write; one that is awake takes several.

/** Something that has bytes to send. */
export interface Due {
  /** The turn is over; called once for each `add`. */
  turn(): void;
}

/** Who has something to send at the end of the turn, in order; one per worker. */
export class Turn {
  private readonly nextTurn: (run: () => void) => void;
  private due: Due[] = [];

  constructor(nextTurn: (run: () => void) => void) {
    this.nextTurn = nextTurn;
  }

  add(one: Due): void {
    this.due.push(one);
    if (this.due.length === 1) this.nextTurn(this.run);
  }

  private readonly run = (): void => {
    const { due } = this;
    this.due = [];
    for (const one of due) one.turn();
  };
}
