/**
 * A text of others as one segment of a path or value of a query. Half of a surrogate pair, which JSON may
 * hold, would make encodeURIComponent throw: it is replaced, as wherever text becomes bytes.
 */
export function encodeSegment(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}
