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

/** The index that a question may be asked with, and where. */
interface Known {
  readonly agent: string;
  readonly index: number;
}

/** One per client of the agents: nobody else's answers give it an index. */
export class AskJudge {
  private readonly known = new Map<string, Known>();
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

  /** Anything but that came of it. */
  onFailed({ question }: Asked): void {
    this.known.delete(question);
  }
}
