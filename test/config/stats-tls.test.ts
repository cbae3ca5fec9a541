// `stats.listen` as a mapping: what it yields, and what is wrong with it.
import { expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { certificateProblems } from '../../src/certificates/vet.ts';
import { problemsOf, settingsOf } from '../support/config.ts';

const SHARED =
  'tls: { certificates: [{ cert_file: /a.pem, key_file: /a.key }], min_version: "1.3" }\n';
const PAIR = [{ kind: 'pair', certFile: '/a.pem', keyFile: '/a.key' }];

it.each([
  ['1940', null],
  ['{ address: 1940 }', null],
  ['{ address: 1940, tls: false }', null],
  ['{ address: 1940, tls: true }', { certificates: PAIR, minVersion: '1.3', clientAuth: 'off' }],
  [
    '{ address: 1940, tls: { min_version: 1.2, client_auth: require, client_ca_file: /ca } }',
    { certificates: PAIR, minVersion: '1.2', clientAuth: 'require', clientCaFile: '/ca' },
  ],
])('listen: %s', (listen, tls) => {
  const { stats } = settingsOf({ file: `${SHARED}stats: { listen: ${listen} }` });
  expect(stats.listen).toEqual({ kind: 'tcp', host: '', port: 1940 });
  if (tls === null) expect(stats.tls).toBeNull();
  else expect(stats.tls).toMatchObject(tls);
});

it('is 1936 where the mapping names no address, and off where it says so', () => {
  const { stats } = settingsOf({ file: `${SHARED}stats: { listen: { tls: true } }` });
  expect(stats.listen).toMatchObject({ port: 1936 });
  expect(settingsOf({ file: 'stats: { listen: off }' }).stats).toMatchObject({
    ...{ listen: null, tls: null },
  });
});

it.each([
  ['{ address: 1940, tls: pass }', /stats\.listen\.tls: "pass": expected true, false or a mapping/],
  ['{ address: 1940, http2: true }', /stats\.listen.*the stats port speaks HTTP\/1\.1 alone/],
  ['{ address: 1940, accept_proxy: 10.0.0.0/8 }', /stats\.listen.*no PROXY protocol/],
  ['{ address: 1940, redirect_https: true }', /stats\.listen.*redirects nowhere/],
  ['{ address: 1940, hsts: 1d }', /stats\.listen.*Strict-Transport-Security/],
  ['{ address: 1940, tsl: true }', /stats\.listen.*tsl/],
  ['', /stats\.listen.*expected a port, address:port/],
  ['{ address: nowhere }', /stats\.listen\.address: "nowhere": expected a port/],
  ['{ address: 1940, tls: true }', /stats\.listen.*tls needs a certificate/],
  [
    '{ tls: { certificates: [{ cert_file: /a }] } }',
    /stats\.listen.*expected cert_file and key_file/,
  ],
  [
    '{ tls: { client_auth: require, certificates: [{ dir: /a }] } }',
    /stats\.listen.*needs tls\.client_ca_file/,
  ],
])('refuses %s', (listen, problem) => {
  expect(problemsOf({ file: `stats: { listen: ${listen} }` }).join('\n')).toMatch(problem);
});

it('an address that a service has is taken, however it is written', () => {
  const file = `${SHARED}stats: { listen: { address: 80, tls: true } }\nservices: { a: { listen: 80 } }`;
  expect(problemsOf({ file }).join()).toMatch(/already the listener of/);
});

it('check names a certificate of the stats port that is not there', async () => {
  const settings = settingsOf({ file: `${SHARED}stats: { listen: { tls: true } }` });
  expect(await certificateProblems(settings, systemClock)).toMatchObject([
    { where: '/a.pem', kind: 'broken', message: expect.stringContaining('no such file') },
  ]);
});
