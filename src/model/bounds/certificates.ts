// Certificates of listeners, and what an authority (ACME) answers.
import type { Bound } from './bound.ts';

export const CERTIFICATES = {
  certificateFile: {
    input: 'certificates and keys of listeners, CA files',
    what: 'size',
    max: 1024 ** 2,
    unit: 'bytes',
    beyond: 'refused; the certificate in use stays',
  },
  acmeAnswer: {
    input: 'answer of a certificate authority (ACME)',
    what: 'size',
    max: 256 * 1024,
    unit: 'bytes',
    beyond: 'the attempt fails; the certificate in use stays',
  },
  acmeExchange: {
    input: 'answer of a certificate authority (ACME)',
    what: 'time until it is whole',
    max: 30_000,
    unit: 'ms',
    beyond: 'the attempt fails; the certificate in use stays',
  },
  acmeOrder: {
    input: 'order at a certificate authority (ACME)',
    what: 'time until its certificate is there',
    max: 600_000,
    unit: 'ms',
    beyond: 'the attempt fails, and a later one goes on with the order',
  },
  acmeUrl: {
    input: 'answer of a certificate authority (ACME)',
    what: 'length of a URL in it',
    max: 2048,
    unit: 'items',
    beyond: 'the attempt fails; the certificate in use stays',
  },
  acmeFile: {
    input: 'account, attempts and challenges in a folder of tls.certificates[].acme',
    what: 'size of each file',
    max: 64 * 1024,
    unit: 'bytes',
    beyond: 'refused; the certificate in use stays',
  },
  acmeChallenges: {
    input: 'challenges in a folder of tls.certificates[].acme',
    what: 'files',
    max: 1000,
    unit: 'items',
    beyond: 'further ones are not answered',
  },
  certificates: {
    input: 'folder of certificates',
    what: 'certificates',
    max: 1000,
    unit: 'items',
    beyond: 'refused; the certificates in use stay',
  },
  certificateNames: {
    input: 'folder of certificates',
    what: 'files of any kind',
    max: 10_000,
    unit: 'items',
    beyond: 'refused; the certificates in use stay',
  },
} as const satisfies Readonly<Record<string, Bound>>;
