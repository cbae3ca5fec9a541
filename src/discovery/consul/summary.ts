// A quick look at which services a change of the catalog concerns: one list with the number of
// instances and checks of every service, as the agent's own dashboard asks for it. It is several
// times cheaper than the inventory, whatever the number of nodes, but an instance that is replaced
// between two looks, or is changed otherwise, doesn't show: the inventory finds those. The question
// is none of the documented API; where it is refused, or answered in another way, it is not asked.
import { changedKeys } from '../../base/changed-keys.ts';
import type { Timer } from '../../base/clock.ts';
import { ConsulError } from './answer.ts';
import type { ConsulContext } from './blocking-query.ts';
import { listOf } from './translate.ts';

const DEADLINE_MS = 10_000;
const PAUSE_MS_MIN = 100;
/** For so many times as long as a look took there is no other: it costs the agent and us alike. */
const PAUSE_PER_MS = 2;
/** An agent that is slow for a moment must not make us late for long. */
const PAUSE_MS_MAX = 300;

export interface SummaryOptions {
  readonly context: ConsulContext;
  readonly scope: Readonly<Record<string, string>>;
  /** Services whose numbers have changed since the look before. */
  readonly onRead: (changed: ReadonlySet<string>) => void;
}

export class Summary {
  private readonly options: SummaryOptions;
  private readonly stopped = new AbortController();
  /** Name -> its numbers in one string; null before the first look, and after a failed one. */
  private numbers: ReadonlyMap<string, string> | null = null;
  private isReading = false;
  private isWanted = false;
  private timer: Timer | null = null;
  /** It is answered: the inventory has time. */
  isOfUse = false;
  private isRefused = false;

  constructor(options: SummaryOptions) {
    this.options = options;
  }

  /** The catalog has changed: looks, now or as soon as that may be. */
  refresh(): void {
    if (this.isRefused) return;
    this.isWanted = true;
    if (!this.isReading && this.timer === null) void this.read();
  }

  stop(): void {
    this.stopped.abort();
    this.timer?.cancel();
  }

  private async read(wasWaiting = false): Promise<void> {
    const { clock } = this.options.context;
    this.isReading = true;
    this.isWanted = false;
    const startMs = clock.nowMs();
    try {
      const numbers = await this.ask();
      const before = this.numbers;
      this.numbers = numbers;
      this.isOfUse = true;
      if (before !== null) this.options.onRead(changedKeys(before, numbers));
    } catch (error) {
      // The inventory, which is read all the same, says what is wrong with the agent.
      this.numbers = null;
      this.isOfUse = false;
      this.isRefused = error instanceof ConsulError && isHopeless(error);
    }
    this.isReading = false;
    if (this.stopped.signal.aborted || this.isRefused) return;
    const tookMs = clock.nowMs() - startMs;
    // Where one change follows the other, they are looked at together.
    const leastMs = wasWaiting ? PAUSE_MS_MAX : PAUSE_MS_MIN;
    const pauseMs = Math.min(PAUSE_MS_MAX, Math.max(leastMs, tookMs * PAUSE_PER_MS));
    this.timer = clock.setTimer(pauseMs, () => {
      this.timer = null;
      if (this.isWanted) void this.read(true);
    });
  }

  private async ask(): Promise<ReadonlyMap<string, string>> {
    const { context, scope } = this.options;
    const { body } = await context.client.get({
      path: '/v1/internal/ui/services',
      query: scope,
      deadlineMs: DEADLINE_MS,
      signal: this.stopped.signal,
      isConsistent: true,
    });
    const numbers = new Map<string, string>();
    for (const { Name, ...rest } of listOf<Line>(body)) {
      if (typeof Name !== 'string' || typeof rest.InstanceCount !== 'number') continue;
      // A service may have two lines: itself, and what it is in the mesh.
      numbers.set(Name, `${numbers.get(Name) ?? ''}${JSON.stringify(rest)}`);
    }
    if (numbers.size === 0) throw new ConsulError('no-summary', 'no line has a number');
    return numbers;
  }
}

/** One of Consul's lines; more than this stands there. */
interface Line {
  readonly Name?: string;
  readonly InstanceCount?: number;
}

function isHopeless({ isRefusal, code }: ConsulError): boolean {
  return isRefusal || ['not-json', 'not-a-list', 'no-index', 'no-summary'].includes(code);
}
