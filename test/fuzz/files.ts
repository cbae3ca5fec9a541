// What stands in files of certificates and keys, and lines of streams in pieces of any size.
import { deepEqual, ok } from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { linesOf } from '../../src/base/body.ts';
import { messageOf } from '../../src/base/coded-error.ts';
import { readPair } from '../../src/certificates/pair.ts';
import { ManualClock } from '../support/clock.ts';
import type { FuzzTarget } from './target.ts';

/** The key of an example of RFC 7517 (appendix A.2), so that every run begins with the same. */
const KEY = createPrivateKey({
  format: 'jwk',
  key: {
    ...{ kty: 'EC', crv: 'P-256', d: '870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE' },
    x: 'MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4',
    y: '4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM',
  },
});
const pem = ['pkcs8', 'sec1'].map((type) =>
  KEY.export({ format: 'pem', type: type as 'pkcs8' }).toString(),
);
const [chain = ''] = rootCertificates;

const certificateTarget: FuzzTarget = {
  name: 'certificate',
  seeds: [...pem.map((key) => `${chain}\n${key}`), `${pem[0]}${chain}${chain}`, pem[1]!],
  morsels: [
    '-----BEGIN CERTIFICATE-----',
    '-----END PRIVATE KEY-----',
    'ENCRYPTED',
    '\n',
    '=',
    '\0',
  ],
  check: (input) => {
    try {
      const { certificate, fingerprint } = readPair(input, input);
      ok(/^[0-9a-f]{64}$/.test(fingerprint), `the fingerprint ${fingerprint}`);
      for (const name of certificate.names) ok(!/[\s,"]/.test(name), `the name ${name}`);
    } catch (error) {
      const message = messageOf(error);
      ok(message.length < 400, 'a long problem');
      // Nothing of the file is in it: it may be a key.
      for (const line of input.split('\n')) {
        const text = line.trim();
        ok(text.length < 24 || text.startsWith('-----') || !message.includes(text), message);
      }
    }
  },
};

const MAX = 4096;

const linesTarget: FuzzTarget = {
  name: 'lines',
  seeds: ['{"a":1}\n{"b":2}\n', '\n\n\n', `${'x'.repeat(3000)}\ny\n`, 'a\r\nb', ''],
  morsels: ['\n', '\n\n', 'x'.repeat(1000), '\r', '\0'],
  check: async (input) => {
    const bytes = Buffer.from(input);
    const whole = await linesIn([bytes]);
    // Of few bytes, of some, and of more than are copied.
    for (const size of [bytes.length < 200 ? 1 : 60, 700, 1500]) {
      const pieces: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
      deepEqual(await linesIn(pieces), whole);
    }
    const all = input.split('\n').slice(0, -1);
    const isWhole = !whole.includes('too large');
    if (isWhole) deepEqual(whole, all.map((line) => Buffer.from(line).toString()).filter(Boolean));
  },
};

/** The lines of a body in these pieces, up to one that is too large. */
async function linesIn(pieces: readonly Buffer[]): Promise<string[]> {
  const body = (async function* () {
    yield* pieces;
  })();
  const limit = { max: MAX, excess: () => new Error('too large'), clock: new ManualClock() };
  const lines: string[] = [];
  try {
    for await (const line of linesOf(body, limit)) lines.push(line.toString());
  } catch (error) {
    lines.push(messageOf(error));
  }
  return lines;
}

export const fileTargets: readonly FuzzTarget[] = [certificateTarget, linesTarget];
