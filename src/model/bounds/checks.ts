// Health checks, and requests to the stats port.
import { type Bound, KEEPS } from './bound.ts';

export const CHECKS = {
  checkAnswer: {
    input: 'answer to a health check other than HTTP',
    what: 'size',
    max: 16 * 1024,
    unit: 'bytes',
    beyond: 'the check fails',
  },
  checkExpect: {
    input: 'health.send, health.expect',
    what: 'length',
    max: 1024,
    unit: 'bytes',
    beyond: KEEPS,
  },
  adminBody: {
    input: 'request to the stats port',
    what: 'size of its body that is kept',
    max: 1024,
    unit: 'bytes',
    beyond: '413',
  },
} as const satisfies Readonly<Record<string, Bound>>;
