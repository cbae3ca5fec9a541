// What a CA has to check of a request (RFC 8555 section 6): signature, nonce, URL, key or account.
import { createHash, createHmac, createPublicKey, verify } from 'node:crypto';

/** A public key on the curve P-256. */
export interface Jwk {
  readonly kty: string;
  readonly crv: string;
  readonly x: string;
  readonly y: string;
  readonly [name: string]: string;
}

export class Refusal extends Error {
  readonly type: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(type: string, detail: string, status = 400, headers: Record<string, string> = {}) {
    super(detail);
    this.type = type;
    this.status = status;
    this.headers = headers;
  }
}

export interface Signed {
  readonly url: string;
  readonly nonce: string;
  /** Exactly one of the two is there. */
  readonly kid: string | null;
  readonly jwk: Jwk | null;
  /** Null for POST-as-GET. */
  readonly payload: Readonly<Record<string, unknown>> | null;
  /** Throws Refusal where the signature is not that of the key. */
  readonly check: (jwk: Jwk) => void;
}

/** Reads a JWS in flattened form. Throws Refusal. */
export function readJws(text: string, contentType: string): Signed {
  if (contentType !== 'application/jose+json') {
    throw new Refusal('malformed', `the content type is ${contentType}`, 415);
  }
  const { protected: head, payload, signature } = JSON.parse(text) as Record<string, string>;
  if (head === undefined || payload === undefined || signature === undefined) {
    throw new Refusal('malformed', 'the JWS lacks a member');
  }
  const { alg, url, nonce, kid, jwk } = decoded(head) as {
    alg: string;
    url: string;
    nonce: string;
    kid?: string;
    jwk?: Jwk;
  };
  if (alg !== 'ES256') throw new Refusal('badSignatureAlgorithm', `alg is ${alg}`);
  if ((kid === undefined) === (jwk === undefined)) {
    throw new Refusal('malformed', 'expected one of kid and jwk');
  }
  return {
    ...{ url, nonce, kid: kid ?? null, jwk: jwk ?? null },
    payload: payload === '' ? null : (decoded(payload) as Record<string, unknown>),
    check: (key) => {
      const publicKey = createPublicKey({ key, format: 'jwk' });
      const bytes = Buffer.from(signature, 'base64url');
      const isGood = verify(
        'sha256',
        Buffer.from(`${head}.${payload}`),
        { key: publicKey, dsaEncoding: 'ieee-p1363' },
        bytes,
      );
      if (!isGood) throw new Refusal('unauthorized', 'the signature is not that of the key', 403);
    },
  };
}

/** RFC 7638. */
export function thumbprintOf({ crv, kty, x, y }: Jwk): string {
  return createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
}

/** Checks an external account binding (RFC 8555 section 7.3.4). Throws Refusal. */
export function checkBinding(
  given: unknown,
  expected: { readonly keyId: string; readonly key: string; readonly url: string; jwk: Jwk },
): void {
  if (given === undefined) {
    throw new Refusal('externalAccountRequired', 'an external account is required', 403);
  }
  const { protected: head, payload, signature } = given as Record<string, string>;
  const { alg, kid, url } = decoded(head!) as Record<string, string>;
  const secret = Buffer.from(expected.key, 'base64url');
  const own = createHmac('sha256', secret).update(`${head}.${payload}`).digest('base64url');
  const isKey = thumbprintOf(decoded(payload!) as Jwk) === thumbprintOf(expected.jwk);
  const isGood = alg === 'HS256' && kid === expected.keyId && url === expected.url;
  if (!isGood || !isKey || own !== signature) {
    throw new Refusal('unauthorized', 'the external account binding is wrong', 403);
  }
}

function decoded(text: string): unknown {
  return JSON.parse(Buffer.from(text, 'base64url').toString());
}
