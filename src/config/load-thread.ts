// Reads a configuration in a thread of its own, bounded in time and memory: YAML takes milliseconds
// per kilobyte, and can't be cut into turns.
import { askThread, type ThreadAnswer } from '../base/asked-thread.ts';
import { BOUNDS, formatBound } from '../model/bounds.ts';
import type { LoadInput, LoadResult } from './load.ts';

/** As loadSettings; a thread that ends without an answer is a problem of the configuration. */
export async function loadInThread(
  input: LoadInput,
  timeMsMax: number = BOUNDS.configTime.max,
): Promise<LoadResult> {
  const answer = await askThread<LoadResult>({
    entry: new URL('./load-entry', import.meta.url),
    name: 'config',
    input,
    timeMsMax,
    memoryBytesMax: BOUNDS.configMemory.max,
  });
  if (answer.kind === 'answer') return answer.value;
  const problem = { where: 'configuration', key: '', message: problemOf(answer, timeMsMax) };
  return { settings: null, problems: [problem], tree: {} };
}

function problemOf(
  answer: Exclude<ThreadAnswer<LoadResult>, { kind: 'answer' }>,
  timeMsMax: number,
): string {
  switch (answer.kind) {
    case 'late':
      return `not read within ${formatBound({ ...BOUNDS.configTime, max: timeMsMax })}`;
    case 'out-of-memory':
      return `takes more than ${formatBound(BOUNDS.configMemory)} of memory to read`;
    case 'failed':
      return answer.why;
  }
}
