// Consul's rules for those who ask blocking queries ("Blocking Queries", Implementation Details),
// judged at the agents: the index of a question is that of its last whole answer, by the same agent;
// after anything else (an error, an answer cut short, an index that fell) it is asked without one.

export interface Asked {
  /** Path and query, without index and wait. */
  readonly question: string;
  readonly agent: string;
  /** 0: it does not wait. */
  readonly index: number;
}

/**
 * How many large answers to one question come in so long. Those that bring changes are bounded by their size (8 MiB at
 * once, 1.25 MiB a second), the others by their number (2, and 5 a second): 74 for each who asks, of whom there may be
 * two, and some more where a reload stops the question and asks it anew.
 */
const LARGE_MS = 4000;
const LARGE_MAX = 170;
/** An answer is large from here on. */
export const LARGE_BYTES = 256 * 1024;
/** Second reads are bounded in the same way (8 MiB at once, 1.25 MiB a second): two of these for each who asks. */
export const HUGE_BYTES = 8 * 1024 ** 2;
const HUGE_MAX = 4;

/** The index that a question may be asked with, and where. */
interface Known {
  readonly agent: string;
  readonly index: number;
}

/** One per client of the agents: nobody else's answers give it an index. */
export class AskJudge {
  private readonly known = new Map<string, Known>();
  /** When the large answers of late came, by question. */
  private readonly large = new Map<string, number[]>();
  private readonly onFault: (text: string) => void;

  constructor(onFault: (text: string) => void) {
    this.onFault = onFault;
  }

  onAsked({ question, agent, index }: Asked): void {
    if (index === 0) return;
    const known = this.known.get(question);
    if (known === undefined) {
      this.onFault(`${question} is asked with index ${index}, which no last answer gave`);
    } else if (known.agent !== agent) {
      this.onFault(`${question} is asked with index ${index} of another agent`);
    } else if (known.index !== index) {
      this.onFault(`${question} is asked with index ${index}, and the last was ${known.index}`);
    }
  }

  /** A whole, good answer arrived. */
  onAnswered({ question, agent, index: asked }: Asked, index: number): void {
    // An index below 1 is a bug of the agent; 1 makes the next question wait at least.
    const usable = Math.max(1, index);
    if (usable < asked) this.known.delete(question);
    else this.known.set(question, { agent, index: usable });
  }

  /** A large answer arrived whole. */
  onLarge({ question }: Asked, bytes: number, nowMs: number): void {
    const times = (this.large.get(question) ?? []).filter((ms) => ms > nowMs - LARGE_MS);
    times.push(nowMs);
    this.large.set(question, times);
    if (times.length === (bytes === HUGE_BYTES ? HUGE_MAX : LARGE_MAX) + 1)
      this.onFault(`${question} has ${times.length} large answers in ${LARGE_MS / 1000} s`);
  }

  /** Anything but that came of it. */
  onFailed({ question }: Asked): void {
    this.known.delete(question);
  }
}
