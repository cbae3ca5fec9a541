// What endpoints of `upstream.protocol: auto` choose by ALPN: HTTP/2, HTTP/1.1, or now the one and now the other, as
// when another version of them is rolled out.
import type { Chance } from '../../kernel/chance.ts';
import type { AnswerFault } from '../book.ts';

/** `silent` takes part in no ALPN: then it is HTTP/1.1. */
export type Mind = 'h2' | 'http1' | 'silent' | 'changes';

const MINDS: readonly Mind[] = ['h2', 'http1', 'silent', 'changes', 'changes', 'changes'];

/** Faults that an endpoint may have by either protocol. */
const COMMON: ReadonlySet<AnswerFault> = new Set<AnswerFault>([
  ...(['silent', 'stalls', 'resets', 'closes', 'interim-flood', 'huge-head'] as const),
  ...(['closes-idle', 'resets-idle'] as const),
]);

export function drawMind(chance: Chance): Mind {
  return chance.pick(MINDS);
}

export function commonFaults(faults: readonly AnswerFault[]): readonly AnswerFault[] {
  return faults.filter((fault) => COMMON.has(fault));
}

/** The mind of one endpoint from connection to connection. */
export class Choosing {
  private readonly mind: Mind;
  private isHttp2 = true;

  constructor(mind: Mind) {
    this.mind = mind;
  }

  /** What it takes by ALPN on the next connection, the preferred first; empty: it has no ALPN. */
  next(chance: Chance): readonly string[] {
    if (this.mind === 'silent') return [];
    if (this.mind === 'changes' && chance.happens(0.3)) this.isHttp2 = !this.isHttp2;
    const isHttp2 = this.mind === 'h2' || (this.mind === 'changes' && this.isHttp2);
    return isHttp2 ? ['h2', 'http/1.1'] : ['http/1.1'];
  }
}

/** What is wrong with what the product offers by ALPN; or ''. Connections that speak for one client are not shared. */
export function wrongOffer(offered: readonly string[], speaksForOne: boolean): string {
  const text = offered.join();
  return (text === 'h2,http/1.1' && !speaksForOne) || text === 'http/1.1'
    ? ''
    : `is offered ${text || 'nothing'}`;
}
