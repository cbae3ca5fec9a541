// What a service's HTTP policy means for heads, worked out once for its requests to come: the names
// its rules take out, the lines they put in, and which of our own fields a rule replaces.
import type { Head } from '../../http1/head.ts';
import type { HttpPolicy } from '../../model/service.ts';
import { type TrustedProxies, trustedProxies } from './trusted-proxies.ts';

/** What frames a message, or belongs to a connection, is decided by us, and by no rule. */
const UNRULED = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'upgrade',
  'te',
  'trailer',
  'keep-alive',
  'proxy-connection',
  'expect',
]);

export class HeaderRuleSet {
  /** Lower-case names of the fields that are replaced or removed. */
  readonly names: readonly string[];
  /** The lines that are put in, each with its CRLF. */
  readonly lines: string;

  constructor(rules: Readonly<Record<string, string>>) {
    this.names = Object.keys(rules).filter((name) => !UNRULED.has(name));
    this.lines = this.names
      .filter((name) => rules[name] !== '')
      .map((name) => `${name}: ${rules[name]}\r\n`)
      .join('');
  }

  has(name: string): boolean {
    return this.names.includes(name);
  }

  /** Takes the fields out that the rules are about; before the fields are copied. */
  dropFrom(head: Head): void {
    for (const name of this.names) head.dropNamed(name);
  }
}

export class HeaderPolicy {
  readonly isTrusted: TrustedProxies;
  readonly request: HeaderRuleSet;
  readonly response: HeaderRuleSet;
  /** No rule is about X-Forwarded-*: the usual lines can be written as one. */
  readonly isForwardedPlain: boolean;
  readonly forwarded: boolean;
  readonly via: boolean;
  /** X-Request-Id is ours to make. */
  readonly requestId: boolean;
  readonly serverName: string;

  private constructor(policy: HttpPolicy) {
    this.isTrusted = trustedProxies(policy.trustedProxies);
    this.request = new HeaderRuleSet(policy.headers.request);
    this.response = new HeaderRuleSet(policy.headers.response);
    this.isForwardedPlain = !this.request.names.some((name) => name.startsWith('x-forwarded-'));
    this.forwarded = policy.forwarded;
    this.via = policy.via;
    this.requestId = policy.requestId && !this.request.has('x-request-id');
    this.serverName = policy.serverName;
  }

  /** The same object for the same policy: it is worked out once. */
  static of(policy: HttpPolicy): HeaderPolicy {
    let made = cache.get(policy);
    if (made === undefined) {
      made = new HeaderPolicy(policy);
      cache.set(policy, made);
    }
    return made;
  }
}

const cache = new WeakMap<HttpPolicy, HeaderPolicy>();
