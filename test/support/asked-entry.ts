// A thread that is asked once, and does what it is asked for.
import { parentPort, workerData } from 'node:worker_threads';

const kept: unknown[] = [];
switch (workerData) {
  case 'answer':
    parentPort!.postMessage({ asked: workerData });
    break;
  case 'throw':
    throw new Error('as asked');
  case 'exit':
    process.exit(0);
    break;
  case 'spin':
    for (;;);
  case 'fill':
    for (;;) kept.push(Array.from({ length: 10_000 }, (_, i) => `${i}`));
}
