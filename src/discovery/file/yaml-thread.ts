// Reads YAML in a thread of its own, bounded in time and memory.
import { askThread } from '../../base/asked-thread.ts';
import { BOUNDS, formatBound } from '../../model/bounds.ts';
import type { YamlAnswer } from './yaml-text.ts';

const MEMORY_BYTES = 256 * 1024 ** 2;

/** As readYaml; a thread that does not answer in time is a problem of the text. */
export async function yamlInThread(
  text: string,
  timeMsMax: number = BOUNDS.targetYamlTime.max,
): Promise<YamlAnswer> {
  const answer = await askThread<YamlAnswer>({
    entry: new URL('./yaml-entry', import.meta.url),
    name: 'yaml',
    input: text,
    timeMsMax,
    memoryBytesMax: MEMORY_BYTES,
  });
  switch (answer.kind) {
    case 'answer':
      return answer.value;
    case 'late': {
      const bound = formatBound({ ...BOUNDS.targetYamlTime, max: timeMsMax });
      return { problem: `not read within ${bound}: write it as .json` };
    }
    case 'out-of-memory':
      return {
        problem: `takes more than ${MEMORY_BYTES / 1024 ** 2} MiB of memory to read: write it as .json`,
      };
    case 'failed':
      return { problem: answer.why };
  }
}
