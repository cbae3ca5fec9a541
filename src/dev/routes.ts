// What a part of the API says about itself: method, path, the index that a blocking query waits on,
// and the answer. The server in embedded-registry.ts does the rest.

/** What a route answers; nothing at all is an empty 200. */
export interface Reply {
  readonly status?: number;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly bytes?: Buffer;
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Call {
  /** What follows the route's own path, decoded. */
  readonly rest: string;
  readonly query: URLSearchParams;
  readonly body: Buffer;
}

export interface Route {
  readonly method: 'GET' | 'PUT' | 'DELETE';
  /** Exact, or a prefix when it ends with a slash. */
  readonly path: string;
  /** The index of what the answer tells, for routes that can block. */
  readonly index?: (call: Call) => number;
  readonly answer: (call: Call) => Reply;
}

/** A request that is not served: the status, and a line of text as Consul words it. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * A parameter that is a switch: there without a value or with one that Go takes for true. Throws a Refusal (400)
 * for what is neither true nor false.
 */
export function isOn(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  if (value === null) return false;
  if (['', '1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value)) return false;
  throw new Refusal(400, `Invalid value for ?${name}`);
}
