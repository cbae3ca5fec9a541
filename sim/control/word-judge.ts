// What an operator said of an endpoint holds until it is taken back or the process ends: in each worker that
// has a later table, whatever became of the worker, the endpoint and the configuration since.
import { takesWork } from '../../src/model/endpoint.ts';
import type { Word } from './expected.ts';
import type { SimThread } from './sim-thread.ts';

export interface WordJudgeOptions {
  readonly fault: (text: string) => void;
  /** Nothing may be sent there whatever an operator says. */
  readonly isDenied: (address: string) => boolean;
}

export class WordJudge {
  /** What is in force, by `service endpoint`. */
  readonly words = new Map<string, Word>();
  /** Workers with a table of this version, or a later one, have it. */
  private readonly sureFrom = new Map<string, number>();
  private readonly options: WordJudgeOptions;

  constructor(options: WordJudgeOptions) {
    this.options = options;
  }

  /** Another process: docs/states.md does not promise that words outlive it. */
  begin(): void {
    this.words.clear();
    this.sureFrom.clear();
  }

  /** It was said, and answered as done; the table had this version before. */
  said(who: string, said: Word['state'] | 'weight', weight: number, version: number): void {
    const before = this.words.get(who) ?? { state: 'ready', weight: null };
    const word: Word = said === 'weight' ? { ...before, weight } : { ...before, state: said };
    this.words.set(who, word);
    this.sureFrom.set(who, version + 1);
  }

  /** The worker has a table from now on; whoever it gives work to must be meant by it. */
  check({ index, version, services }: SimThread): void {
    for (const [who, from] of this.sureFrom) {
      if (version < from) continue;
      const [name = '', id = ''] = who.split(' ');
      const one = services.get(name)?.endpoints.find((endpoint) => endpoint.id === id);
      if (one === undefined || this.options.isDenied(one.address)) continue;
      const { state, weight } = this.words.get(who)!;
      const isWorking = state !== 'ready' && takesWork(one);
      if (!isWorking && (weight === null || one.weight === weight)) continue;
      const is = `${one.state} of weight ${one.weight}`;
      this.options.fault(
        `${id} of ${name} is ${is} in worker ${index}, and the operator said ${state}, weight ${weight}`,
      );
    }
  }
}
