/** When something was so: spans of simulated time by what it is. Oracles ask whether it can explain an outcome. */
export class Periods {
  private readonly spans = new Map<string, { fromMs: number; toMs: number }[]>();

  /** From now on, until `end`; once for each `end`. */
  begin(key: string, fromMs: number): { fromMs: number; toMs: number } {
    const span = { fromMs, toMs: Number.POSITIVE_INFINITY };
    const list = this.spans.get(key);
    if (list === undefined) this.spans.set(key, [span]);
    else list.push(span);
    return span;
  }

  add(key: string, fromMs: number, toMs: number): void {
    this.begin(key, fromMs).toMs = toMs;
  }

  /** Whether it was so at some moment of this span. */
  overlaps(key: string, fromMs: number, toMs: number): boolean {
    const list = this.spans.get(key);
    return list?.some((span) => span.fromMs <= toMs && span.toMs >= fromMs) ?? false;
  }

  has(key: string): boolean {
    return this.spans.has(key);
  }
}
