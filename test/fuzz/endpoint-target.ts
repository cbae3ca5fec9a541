// What the targets share whose inputs an endpoint says on one connection of HTTP/2: how an input is run, and what holds
// for every answer.
import { ok } from 'node:assert/strict';
import type { Answer } from '../support/http2.ts';
import { type Call, EndpointStage, inPieces, type Run } from './endpoint-stage.ts';
import type { Told } from './frame-judge.ts';
import { mutatedFrames } from './frame-mutation.ts';
import type { FuzzTarget } from './target.ts';

/** With which Upriver ends what it has begun and can't complete. */
const CUTS = [2, 8];

export interface EndpointTargetOptions extends Pick<FuzzTarget, 'name' | 'seeds' | 'morsels'> {
  readonly calls: readonly Call[];
  /** Throws where a rule is broken. */
  readonly judge: (run: Run, input: string) => void;
}

/** A target that makes the calls of an endpoint which says the input. */
export function endpointTarget(options: EndpointTargetOptions): FuzzTarget {
  const { name, seeds, morsels, calls, judge } = options;
  let starting: Promise<EndpointStage> | null = null;
  return {
    name,
    seeds,
    morsels,
    mutate: mutatedFrames,
    check: async (input) => {
      starting ??= EndpointStage.start(calls);
      judge(await (await starting).run(inPieces(input)), input);
    },
    close: async () => {
      const open = starting;
      starting = null;
      await (await open)?.close();
    },
  };
}

/** There is an answer, and it ended in order or by a cut that can be seen. */
export function checkEnd({ status, code }: Answer): void {
  ok(status >= 200, `no answer, ${code}`);
  ok(code === 0 || CUTS.includes(code), `an answer that is none: ${code}`);
}

/**
 * The content is what was said on the stream, in full; or all that was announced, before the connection ended. That nothing
 * is shorter or longer than announced is for the client to see.
 */
export function checkContent({ status, headers, body }: Answer, told: Told): void {
  if (status === 204 || status === 304) return ok(body === '', 'content where there is none');
  const isAnnounced = Number(headers['content-length'] ?? -1) === body.length;
  const isWhole = told.hasEnd && body === told.data;
  const isGood = isWhole || (isAnnounced && told.data.startsWith(body));
  ok(isGood, `${JSON.stringify(body)} for ${JSON.stringify(told)}`);
}
