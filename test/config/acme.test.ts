// Certificates that are ordered, as a configuration names them, and what is said of those that are wrong.
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { jsonSchema } from '../../src/config/json-schema.ts';
import type { ListenTls } from '../../src/model/listener.ts';
import { problemsOf, serviceOf } from '../support/config.ts';
import { isValid } from '../support/json-schema.ts';

const fileOf = (...acme: string[]) =>
  `tls: { certificates: [ ${acme.map((one) => `{ acme: ${one} }`).join(', ')} ] }
services: { web: { listen: { address: 443, tls: true } } }`;

describe('a certificate that is ordered', () => {
  it('needs no more than its names', () => {
    const file = fileOf('{ domains: [Site.example, www.site.example, site.example] }');
    const { certificates } = serviceOf({ file }).listen[0]!.tls as ListenTls;
    expect(certificates).toEqual([
      {
        kind: 'acme',
        acme: {
          directory: 'https://acme-v02.api.letsencrypt.org/directory',
          domains: ['site.example', 'www.site.example'],
          ...{ email: '', dir: '/var/lib/upriver/acme', challenge: 'auto', caFile: '' },
          ...{ binding: null, terms: '' },
        },
      },
    ]);
    expect(isValid(jsonSchema(), parse(file))).toBe(true);
  });

  it('is all that it may be', () => {
    const file = fileOf(
      '{ directory: "http://127.0.0.1:14000/dir", email: a@b.example, domains: [a.example], dir: /a, ' +
        'challenge: tls-alpn-01, ca_file: /ca.pem, eab: { key_id: k, key_file: /k }, terms: "https://ca.example/tos" }',
    );
    const { certificates } = serviceOf({ file }).listen[0]!.tls as ListenTls;
    expect(certificates[0]).toMatchObject({
      acme: { binding: { keyId: 'k', keyFile: '/k' }, challenge: 'tls-alpn-01', caFile: '/ca.pem' },
    });
    expect(isValid(jsonSchema(), parse(file))).toBe(true);
  });

  it.each([
    ['{ domains: ["*.a.example"] }', 'a wildcard needs the challenge DNS-01'],
    ['{ domains: [192.0.2.1] }', '"192.0.2.1": an address gets no certificate here'],
    ['{ domains: ["a b"] }', 'acme.domains.0: "a b": expected a host name such as www.example.com'],
    ['{ domains: [] }', 'domains: []: expected one host name at least'],
    ['{}', 'acme.domains'],
    [
      '{ domains: [a.example], email: "mailto:a@b" }',
      'expected an address such as ops@example.com',
    ],
    ['{ domains: [a.example], directory: "http://ca.example/dir" }', 'expected the https:// URL'],
    ['{ domains: [a.example], challenge: dns-01 }', 'expected auto, http-01 or tls-alpn-01'],
    ['{ domains: [a.example], eab: { key_id: k } }', 'eab.key_file'],
    ['a.example', 'expected a mapping with domains'],
  ])('is refused as %s', (acme, message) => {
    const file = fileOf(acme);
    expect(problemsOf({ file }).join('\n')).toContain(message);
  });

  it('has no file of its own beside it', () => {
    const file = 'tls: { certificates: [ { dir: /a, acme: { domains: [a.example] } } ] }';
    expect(problemsOf({ file }).join()).toContain(
      'tls.certificates.0: acme goes without cert_file, key_file and dir',
    );
  });

  it('shares its first name with no other one', () => {
    const [one, two] = ['{ domains: [a.example, b.example] }', '{ domains: [a.example] }'];
    expect(problemsOf({ file: fileOf(one!, two!) }).join()).toContain(
      'a.example is the first domain of tls.certificates too',
    );
    expect(problemsOf({ file: fileOf(one!, one!) })).toEqual([]);
  });
});
