// Certificates of listeners as metrics: whether they are good, until when, and what became of those
// that are ordered.
import type { AcmeStatus } from '../model/acme.ts';
import type { Family } from './families.ts';

const perOrder = (
  { name, type, help }: Pick<Family, 'name' | 'type' | 'help'>,
  read: (acme: AcmeStatus) => number | null,
): Family => ({
  name,
  type,
  help,
  labels: ['file'],
  *read({ certificates }) {
    for (const { file, acme } of certificates) {
      const value = acme === undefined ? null : read(acme);
      if (value !== null) yield { labels: { file }, value };
    }
  },
});

export const certificateFamilies: readonly Family[] = [
  {
    name: 'upriver_tls_certificate_expiry_seconds',
    type: 'gauge',
    help: 'When the certificate in use expires, seconds since the epoch.',
    labels: ['file'],
    *read({ certificates }) {
      for (const { file, untilMs } of certificates) {
        if (untilMs !== null) yield { labels: { file }, value: Math.floor(untilMs / 1000) };
      }
    },
  },
  {
    name: 'upriver_tls_certificate_valid',
    type: 'gauge',
    help: '1 unless what lies in the file now is refused, has expired or is not valid yet.',
    labels: ['file'],
    read: ({ certificates }) =>
      certificates.map(({ file, problem }) => ({
        labels: { file },
        value: problem === '' ? 1 : 0,
      })),
  },
  perOrder(
    {
      name: 'upriver_acme_renewals_total',
      type: 'counter',
      help: 'Certificates that were received from a certificate authority.',
    },
    ({ renewals }) => renewals,
  ),
  perOrder(
    {
      name: 'upriver_acme_failures_total',
      type: 'counter',
      help: 'Attempts to get a certificate that failed.',
    },
    ({ failures }) => failures,
  ),
  perOrder(
    {
      name: 'upriver_acme_last_renewal_timestamp_seconds',
      type: 'gauge',
      help: 'When this process last received a certificate, seconds since the epoch.',
    },
    ({ renewedMs }) => (renewedMs === null ? null : renewedMs / 1000),
  ),
  perOrder(
    {
      name: 'upriver_acme_next_attempt_timestamp_seconds',
      type: 'gauge',
      help: 'When the certificate is ordered next, seconds since the epoch.',
    },
    ({ nextMs }) => nextMs / 1000,
  ),
];
