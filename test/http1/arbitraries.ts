// Random parts of messages for property tests.
import fc from 'fast-check';

const TOKEN = "!#$%&'*+-.^_`|~0123456789ABCXYZabcxyz";

export const token = fc.string({ unit: fc.constantFrom(...TOKEN), minLength: 1, maxLength: 12 });

/** Text that may stand in a value, white space at its ends included. */
export const value = fc.string({
  unit: fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...'abcXYZ0129 ,;="/*') },
    { weight: 1, arbitrary: fc.constantFrom('\t', ' ', ':', '\x80', '\xff') },
  ),
  maxLength: 60,
});

const NAMES = [
  ...['Accept', 'Cookie', 'Keep-Alive', 'proxy-connection', 'TRAILER', 'Upgrade', 'Via'],
  ...['X-Forwarded-For', 'X_Forwarded_For', 'Forwarded', 'TE', 'Server', 'Proxy-Authorization'],
] as const;

/** A field whose value can't be a fault: neither framing nor Host, Connection or Expect. */
export const anyField = fc.tuple(
  fc.oneof(
    fc.constantFrom(...NAMES),
    token.map((name) => `X-${name}`),
  ),
  value,
);
