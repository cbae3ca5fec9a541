// The flags of what is logged, which `run`, `dev` and `register` have in common.
import type { Flag } from './command.ts';

export const LOG_FLAGS: readonly Flag[] = [
  {
    name: 'log-level',
    value: 'LEVEL',
    environment: 'UPRIVER_LOG_LEVEL',
    help: 'debug, info, warn or error',
  },
  {
    name: 'log-format',
    value: 'FORMAT',
    environment: 'UPRIVER_LOG_FORMAT',
    help: 'json or pretty',
  },
];
