// Certificates that are ordered from a certificate authority: `acme` of an entry of tls.certificates.
import { isIP } from 'node:net';
import { z } from 'zod';
import type { AcmeSettings } from '../../model/acme.ts';
import { listForm, textForm } from '../forms.ts';
import { filePath, parsed } from '../values.ts';

const LETS_ENCRYPT = 'https://acme-v02.api.letsencrypt.org/directory';
const FOLDER = '/var/lib/upriver/acme';
/** What CAs take in one certificate. */
const DOMAINS_MAX = 100;

const LABEL = '[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?';
const DOMAIN = `(?=.{1,253}$)${LABEL}(?:\\.${LABEL})*`;
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

const domain = parsed({
  parse: (text) =>
    new RegExp(`^(?:${DOMAIN})$`).test(text) && isIP(text) === 0 ? text.toLowerCase() : null,
  expected: 'a host name such as www.example.com',
  problem: (text) => {
    if (text.startsWith('*.')) {
      return 'a wildcard needs the challenge DNS-01, which Upriver does not answer: name the hosts, or put a certificate from elsewhere into dir';
    }
    return isIP(text) === 0 ? null : 'an address gets no certificate here';
  },
  form: textForm(DOMAIN),
});

const directory = parsed({
  parse: (text) => {
    const url = /^https?:\/\//.test(text) ? URL.parse(text) : null;
    if (url === null || url.username !== '' || url.password !== '' || url.hash !== '') return null;
    // RFC 8555 section 6.1 wants https; a CA on this machine is for tests.
    return url.protocol === 'https:' || LOOPBACK.test(url.hostname) ? url.href : null;
  },
  expected: `the https:// URL of a CA's ACME directory such as ${LETS_ENCRYPT}`,
  form: textForm('https?://[^@#]+'),
});

const email = z
  .string()
  .regex(/^(?:[^\s@:]+@[^\s@]+)?$/, 'expected an address such as ops@example.com')
  .meta({ form: textForm('(?:[^\\s@:]+@[^\\s@]+)?') });

const binding = z
  .strictObject({
    key_id: z.string().min(1, 'expected the key identifier that the CA gave').meta({
      description: 'Key identifier that the CA gave.',
    }),
    key_file: filePath.min(1, 'expected the name of a file').meta({
      description: 'File with the MAC key that the CA gave, in base64url.',
    }),
  })
  .optional();

export const acmeMapping = z.strictObject(
  {
    directory: directory
      .prefault(LETS_ENCRYPT)
      .meta({ description: "URL of the CA's ACME directory (RFC 8555)." }),
    email: email.prefault('').meta({ description: 'Contact address for the CA.' }),
    domains: z
      .array(domain, { error: 'expected a list of host names' })
      .min(1, 'expected one host name at least')
      .max(DOMAINS_MAX, `expected ${DOMAINS_MAX} host names at most`)
      .meta({
        form: { ...listForm(DOMAIN), type: 'array', items: textForm(DOMAIN), minItems: 1 },
        description: 'Host names of the certificate; the first one names its file.',
      }),
    dir: z.string().min(1, 'expected a folder').prefault(FOLDER).meta({
      description: 'Folder for account, certificates and lock; processes may share it.',
    }),
    challenge: z
      .enum(['auto', 'http-01', 'tls-alpn-01'], {
        error: 'expected auto, http-01 or tls-alpn-01',
      })
      .prefault('auto')
      .meta({
        description:
          'How control of the names is proved to the CA; auto: what the listeners allow, on port 80 by HTTP first.',
      }),
    ca_file: filePath
      .prefault('')
      .meta({ description: 'CA certificates (PEM) for the directory itself.' }),
    eab: binding.meta({
      description: 'External account binding, where the CA wants one.',
    }),
    terms: z
      .string()
      .regex(/^(?:https?:\/\/\S+)?$/, 'expected the URL of terms of service')
      .prefault('')
      .meta({
        description:
          'URL of the terms of service that are agreed to; others are refused. Without it, those that the CA names are.',
      }),
  },
  {
    error: ({ code }) => (code === 'invalid_type' ? 'expected a mapping with domains' : undefined),
  },
);

export type AcmeInput = z.output<typeof acmeMapping>;

export function buildAcme({ ca_file, eab, domains, ...input }: AcmeInput): AcmeSettings {
  return {
    ...input,
    domains: [...new Set(domains)],
    caFile: ca_file,
    binding: eab === undefined ? null : { keyId: eab.key_id, keyFile: eab.key_file },
  };
}
