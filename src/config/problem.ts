// What is wrong with a configuration, said so that it can be found: where, what is there, and what
// was expected.

export interface Problem {
  /** `upriver.yaml:5:11`, `--service`, `UPRIVER_WORKERS`, `tag upriver.listen`. */
  readonly where: string;
  /** `services.web.balance`; '' where the text could not be read at all. */
  readonly key: string;
  readonly message: string;
}

export function formatProblem({ where, key, message }: Problem): string {
  return [where, key, message].filter((part) => part !== '').join(': ');
}
