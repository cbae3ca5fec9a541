/** An error of ours, not of a client, an endpoint or a registry: the code broke its own rule. */
class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** Throws AssertionError unless `fact` holds. Kept in production; `message` says what should be. */
export function assert(fact: unknown, message: string): asserts fact {
  if (!fact) throw new AssertionError(message);
}
