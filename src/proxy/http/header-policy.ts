// What a service's HTTP policy means for heads, worked out once for its requests to come: the names
// its rules take out, the lines they put in, and which of our own fields a rule replaces.
import type { Head } from '../../http1/head.ts';
import { UNRULED_FIELDS } from '../../model/field-rules.ts';
import type { HeaderRules, HttpPolicy, RequestIdPolicy } from '../../model/service.ts';
import { type TrustedProxies, trustedProxies } from './trusted-proxies.ts';

class HeaderRuleSet {
  /** Lower-case names of the fields that are replaced or removed. */
  readonly names: readonly string[];
  /** The lines that are put in, each with its CRLF. */
  readonly lines: string;
  /** Old and new lower-case name of the fields that are renamed. */
  private readonly renames: readonly (readonly [string, string])[];

  constructor({ set, rename }: HeaderRules) {
    this.names = Object.keys(set).filter((name) => !UNRULED_FIELDS.has(name));
    this.lines = this.names
      .filter((name) => set[name] !== '')
      .map((name) => `${name}: ${set[name]}\r\n`)
      .join('');
    this.renames = Object.entries(rename).filter(
      ([from, to]) => from !== to && !UNRULED_FIELDS.has(from) && !UNRULED_FIELDS.has(to),
    );
  }

  has(name: string): boolean {
    return this.names.includes(name);
  }

  /** Whether a rule says what this field is to be. */
  writes(name: string): boolean {
    return this.has(name) || this.renames.some(([, to]) => to === name);
  }

  /**
   * Takes the fields out that the rules are about; before the fields are copied. Returns the lines
   * of those that come back under another name, where they replace what had it.
   */
  takeFrom(head: Head): string {
    const renamed = this.renames.length === 0 ? '' : this.takeRenamed(head);
    for (const name of this.names) head.dropNamed(name);
    return renamed;
  }

  private takeRenamed(head: Head): string {
    const values = this.renames.map(([from]) => head.valuesOfName(from));
    let lines = '';
    this.renames.forEach(([from, to], i) => {
      head.dropNamed(from);
      if (values[i]!.length === 0) return;
      head.dropNamed(to);
      // What is set after it wins.
      if (!this.has(to)) lines += values[i]!.map((value) => `${to}: ${value}\r\n`).join('');
    });
    return lines;
  }
}

export class HeaderPolicy {
  readonly isTrusted: TrustedProxies;
  readonly request: HeaderRuleSet;
  readonly response: HeaderRuleSet;
  /** No rule is about X-Forwarded-*: the usual lines can be written as one. */
  readonly isForwardedPlain: boolean;
  /** A rule says what an endpoint is told of a client's certificate. */
  readonly rulesCertificates: boolean;
  readonly forwarded: boolean;
  readonly via: boolean;
  /** Off where a rule says what X-Request-Id is. */
  readonly requestId: RequestIdPolicy;
  /** The client is told the id: no rule is about X-Request-Id in responses. */
  readonly returnsRequestId: boolean;
  readonly serverName: string;

  private constructor(policy: HttpPolicy) {
    this.isTrusted = trustedProxies(policy.trustedProxies);
    this.request = new HeaderRuleSet(policy.headers.request);
    this.response = new HeaderRuleSet(policy.headers.response);
    this.isForwardedPlain = !this.request.names.some((name) => name.startsWith('x-forwarded-'));
    this.rulesCertificates = this.request.names.some((name) => name.startsWith('x-client-cert-'));
    this.forwarded = policy.forwarded;
    this.via = policy.via;
    this.requestId = this.request.writes('x-request-id') ? 'off' : policy.requestId;
    this.returnsRequestId = !this.response.writes('x-request-id');
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
