// A rule of ours that was broken: what it was about ends with the reason `bug`, and the log has the stack.
import type { LogFields, Logger } from '../base/log.ts';
import { reason } from '../model/reason.ts';

export const BUG = reason('bug');

/** Logs what was thrown. `fields`: the state of what ends. */
export function logBug(log: Logger, error: unknown, fields: LogFields = {}): void {
  const err = error instanceof Error ? error.stack : String(error);
  log.error({ err, ...fields, reason: BUG.code }, BUG.text);
}
