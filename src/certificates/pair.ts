// One certificate with its key, as text: what it is for, until when, and what is wrong with it.
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { messageOf } from '../base/coded-error.ts';
import type { TlsCertificate } from '../model/tls.ts';

/** A certificate that can be used, as far as it and its key agree. */
export interface Pair {
  readonly certificate: TlsCertificate;
  /** SHA-256, lower-case hexadecimal. */
  readonly fingerprint: string;
  /** ms since the epoch. */
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Reads chain and key (PEM). Throws an Error that says what is wrong, and nothing of the key. */
export function readPair(chain: string, privateKey: string): Pair {
  const own = readCertificate(chain);
  const key = readKey(privateKey);
  if (!own.checkPrivateKey(key)) throw new Error('the key does not belong to the certificate');
  return {
    certificate: { names: namesOf(own), chain, privateKey },
    fingerprint: own.fingerprint256.replaceAll(':', '').toLowerCase(),
    fromMs: Date.parse(own.validFrom),
    untilMs: Date.parse(own.validTo),
  };
}

/** Why the pair is not good at this time; '' where it is. */
export function untimely({ fromMs, untilMs }: Pair, nowMs: number): string {
  const day = (ms: number) => new Date(ms).toISOString();
  if (nowMs > untilMs) return `the certificate has expired: it was valid until ${day(untilMs)}`;
  return nowMs < fromMs ? `the certificate is not valid yet: it will be from ${day(fromMs)}` : '';
}

function readCertificate(chain: string): X509Certificate {
  const blocks = chain.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g);
  if (blocks === null) throw new Error('there is no certificate in it: expected PEM');
  try {
    const [own] = blocks.map((block) => new X509Certificate(block));
    return own!;
  } catch (error) {
    throw new Error(`the certificate can't be read: ${messageOf(error)}`);
  }
}

function readKey(text: string): KeyObject {
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    throw new Error('there is no private key in it: expected PEM');
  }
  if (/ENCRYPTED/.test(text))
    throw new Error('the key is encrypted: expected one without password');
  try {
    return createPrivateKey(text);
  } catch {
    // What OpenSSL says of it may quote it.
    throw new Error("the key can't be read: expected PEM");
  }
}

/**
 * The DNS names of a certificate, lower case; those of its subject where it has no others. Node separates its
 * alternative names by commas, and quotes each that has one, or anything else that is in no host name.
 */
function namesOf(own: X509Certificate): string[] {
  const alternatives = own.subjectAltName ?? '';
  const names = alternatives
    .split(', ')
    .flatMap((one) => /^DNS:([^"\s]+)$/.exec(one)?.[1] ?? [])
    .map((name) => name.toLowerCase());
  if (names.length > 0 || alternatives !== '') return [...new Set(names)];
  const common = /^CN=(.+)$/m.exec(own.subject ?? '')?.[1];
  return common === undefined ? [] : [common.toLowerCase()];
}
