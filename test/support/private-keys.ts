// Private keys in all their forms, and a judge that finds any piece of one in a text.
import { generateKeyPairSync } from 'node:crypto';

const [PKCS8, PKCS1, SEC1] = (['pkcs8', 'pkcs1', 'sec1'] as const).map((type) => ({
  ...{ type, format: 'pem' as const },
}));
const LOCKED = { cipher: 'aes-256-cbc', passphrase: 'x' };

/** Made once for a file of tests. */
export const PRIVATE_KEYS: Readonly<Record<string, string>> = {
  'EC, PKCS 8': text(
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export(PKCS8 as never),
  ),
  'EC, SEC 1': text(
    generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export(SEC1 as never),
  ),
  Ed25519: text(generateKeyPairSync('ed25519').privateKey.export(PKCS8 as never)),
  RSA: text(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export(PKCS1 as never)),
  'RSA, encrypted by PKCS 8': text(
    generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({
      ...PKCS8,
      ...LOCKED,
    } as never),
  ),
  'RSA, encrypted by PEM': text(
    generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({
      ...PKCS1,
      ...LOCKED,
    } as never),
  ),
};

function text(exported: unknown): string {
  return String(exported);
}

/** A piece of this length is no accident. */
const PIECE = 8;

/** The lines of the body, without the marks around it. */
export function bodyOf(pem: string): string[] {
  return pem.split('\n').filter((line) => /^[A-Za-z0-9+/]+=*$/.test(line));
}

/** Finds the first piece of the keys in a text, or ''. */
export function pieceFinder(keys: readonly string[]): (text: string) => string {
  const pieces = new Set(keys.flatMap(bodyOf).flatMap((line) => windows(line)));
  return (said) => windows(said).find((piece) => pieces.has(piece)) ?? '';
}

function windows(line: string): string[] {
  return Array.from({ length: Math.max(0, line.length - PIECE + 1) }, (_, i) =>
    line.slice(i, i + PIECE),
  );
}
