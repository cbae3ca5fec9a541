// Reads YAML in a thread of its own, bounded in time and memory.
import { Worker } from 'node:worker_threads';
import { messageOf } from '../../base/coded-error.ts';
import { BOUNDS, formatBound } from '../../model/bounds.ts';
import type { YamlAnswer } from './yaml-text.ts';

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const entry = new URL(`./yaml-entry.${extension}`, import.meta.url);
const MEMORY_MIB = 256;

/** As readYaml; a thread that does not answer in time is a problem of the text. */
export function yamlInThread(
  text: string,
  timeMsMax: number = BOUNDS.targetYamlTime.max,
): Promise<YamlAnswer> {
  const worker = new Worker(entry, {
    workerData: text,
    name: 'yaml',
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MIB },
  });
  return new Promise((resolve) => {
    const late = setTimeout(() => {
      const bound = formatBound({ ...BOUNDS.targetYamlTime, max: timeMsMax });
      resolve({ problem: `not read within ${bound}: write it as .json` });
      void worker.terminate();
    }, timeMsMax);
    late.unref();
    worker.once('message', (answer: YamlAnswer) => resolve(answer));
    worker.once('error', (error) => resolve({ problem: messageOf(error) }));
    worker.once('exit', () => {
      clearTimeout(late);
      resolve({ problem: 'the thread that reads it ended without an answer' });
    });
  });
}
