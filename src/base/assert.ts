/** An error of ours, not of a client, an endpoint or a registry: the code broke its own rule. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** Throws AssertionError unless `fact` holds. Kept in production; `message` says what should be. */
export function assert(fact: unknown, message: string): asserts fact {
  if (!fact) throw new AssertionError(message);
}

/** For the default branch of an exhaustive switch: the type says it can't be reached. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable value: ${String(value)}`);
}
