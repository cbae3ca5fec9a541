/** Lines kept while nothing is printed: the last of them tell what led to a failure. */
const LINES_MAX = 400;

/**
 * What happened, a line each. Compose a line only where `isOn`: a run without a trace must not pay
 * for its text.
 */
export class Trace {
  readonly isOn: boolean;
  private readonly print: ((line: string) => void) | null;
  private readonly lines: string[] = [];
  private first = 0;

  /** `keep`: the last lines are kept for `text`. `print` gets each line at once. */
  constructor(options: { keep: boolean; print: ((line: string) => void) | null }) {
    this.isOn = options.keep || options.print !== null;
    this.print = options.print;
  }

  add(nowMs: number, line: string): void {
    const text = `${nowMs.toFixed(3).padStart(12)}  ${line}`;
    this.print?.(text);
    if (this.lines.length < LINES_MAX) this.lines.push(text);
    else {
      this.lines[this.first] = text;
      this.first = (this.first + 1) % LINES_MAX;
    }
  }

  /** The last lines, oldest first. */
  text(): string {
    return [...this.lines.slice(this.first), ...this.lines.slice(0, this.first)].join('\n');
  }
}

export const noTrace = new Trace({ keep: false, print: null });
