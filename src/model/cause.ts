/** What made the table change: kept with each event, so that "why" has an answer. */
export type CauseKind =
  | 'registry'
  | 'check'
  | 'ejection'
  | 'operator'
  | 'reload'
  | 'guard'
  | 'failover'
  | 'start';

export interface Cause {
  readonly kind: CauseKind;
  /** Human-readable: "consul: index 41 -> 42", "check: GET /health answered 500". */
  readonly text: string;
}
