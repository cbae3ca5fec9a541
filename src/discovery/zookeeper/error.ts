// What can go wrong with a member of ZooKeeper.
import { CodedError, codeOf, messageOf } from '../../base/coded-error.ts';
import { ERRORS, errorName } from './messages.ts';

export class ZookeeperError extends CodedError {
  /** Whoever is asked would refuse it. */
  readonly isRefusal: boolean;
  /** The error of the answer, one of ERRORS; 0 where there was none. */
  readonly answered: number;

  constructor(code: string, message: string, { isRefusal = false, answered = 0 } = {}) {
    super(code, message);
    this.name = 'ZookeeperError';
    this.isRefusal = isRefusal;
    this.answered = answered;
  }
}

/** The error that an answer about `path` carries. */
export function answeredError(answered: number, path: string): ZookeeperError {
  const isRefusal = answered === ERRORS.noAuth || answered === ERRORS.authFailed;
  const message = `answered ${errorName(answered)} for ${path}`;
  return new ZookeeperError('answered', message, { isRefusal, answered });
}

/** Anything that was thrown, as one of ours. */
export function zookeeperError(error: unknown): ZookeeperError {
  if (error instanceof ZookeeperError) return error;
  return new ZookeeperError(codeOf(error) || 'failed', messageOf(error));
}
