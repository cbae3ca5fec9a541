// How many requests a service can take at once, found from its response times: while they are what
// they usually are the limit grows; when they rise with the number in flight, requests only wait at
// the endpoints, and the limit sinks in proportion (a gradient limit: the usual time over the time
// now). What is above it is refused at once, which is kinder than a slow death for all.
// One per service and worker: each finds its own share.

const FIRST = 64;
const LEAST = 8;
const MOST = 10_000;
/** Samples that one step is taken from. */
const WINDOW = 64;
/** Response times may rise so many times above the usual before the limit sinks. */
const TOLERANCE = 2;
/** Share of a new limit in the one in force. */
const SMOOTHING = 0.25;
/** How fast the usual time follows one that is lower, and one that is higher, per window. */
const FALL_SHARE = 0.5;
const RISE_SHARE = 0.05;

export class AdaptiveLimit {
  private limit = FIRST;
  private inFlight = 0;
  private inFlightMax = 0;
  private usualUs = 0;
  private sumUs = 0;
  private samples = 0;

  /** Requests that may be in flight now. */
  get current(): number {
    return Math.floor(this.limit);
  }

  /** A request wants in; false where it would be one too many. After true, `leave` must follow. */
  enter(): boolean {
    if (this.inFlight >= this.current) return false;
    this.inFlight += 1;
    if (this.inFlight > this.inFlightMax) this.inFlightMax = this.inFlight;
    return true;
  }

  /** It is over; `us` is how long its endpoint took to answer, 0 where that says nothing. */
  leave(us: number): void {
    this.inFlight -= 1;
    if (us <= 0) return;
    this.sumUs += us;
    this.samples += 1;
    if (this.samples >= WINDOW) this.step();
  }

  private step(): void {
    const us = this.sumUs / this.samples;
    const isPressed = this.inFlightMax >= this.limit / 2;
    this.sumUs = 0;
    this.samples = 0;
    this.inFlightMax = this.inFlight;
    if (this.usualUs === 0) this.usualUs = us;
    else if (us < this.usualUs) this.usualUs += (us - this.usualUs) * FALL_SHARE;
    // What is slow under pressure may be slow by the pressure: only the least limit tells it apart.
    else if (!isPressed || this.limit === LEAST) this.usualUs += (us - this.usualUs) * RISE_SHARE;
    // A limit that is not approached can't be judged.
    if (!isPressed) return;
    const gradient = Math.min(1, Math.max(0.5, (TOLERANCE * this.usualUs) / us));
    // The square root is room to grow: without it the limit could only sink.
    const wanted = this.limit * gradient + Math.sqrt(this.limit);
    const next = this.limit + (wanted - this.limit) * SMOOTHING;
    this.limit = Math.min(MOST, Math.max(LEAST, next));
  }
}
