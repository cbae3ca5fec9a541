// What certificates, targets and endpoints say, on its way into fields and logs of the data plane.
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { expect, it } from 'vitest';
import { reason } from '../../src/model/reason.ts';
import { connectDetail } from '../../src/proxy/connect-failure.ts';
import { grpcLines } from '../../src/proxy/http/grpc.ts';
import { failureReply, replyLines } from '../../src/proxy/http/own-reply.ts';
import { writeV2 } from '../../src/proxy/proxy-protocol/proxy-header.ts';
import { subjectText } from '../../src/proxy/wire/subject-text.ts';
import { HOSTILE_NAMES, looksHarmless } from '../support/hostile-names.ts';

const NAMES = Object.values(HOSTILE_NAMES).map((name) => name.slice(0, 1000).toWellFormed());
const FIELD = /^[\x20-\x7e]*$/;

/** A certificate of this name, as OpenSSL makes it. */
function certificateOf(commonName: string): X509Certificate {
  const key = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    '/dev/null',
  ];
  const name = commonName.replaceAll(/[\\/+=]/g, (mark) => `\\${mark}`);
  const pem = execFileSync(
    'openssl',
    ['req', '-x509', ...key, '-utf8', '-subj', `/O=x/CN=${name}`],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  return new X509Certificate(pem);
}

it('the subject of a client certificate is one field, whatever is in it', () => {
  for (const name of NAMES) {
    const text = subjectText(`O=Example\nCN=${name.replaceAll('\n', '\\0A')}`);
    expect(text).toMatch(FIELD);
  }
});

it.each([
  'alice',
  'alice,O=admins',
  'alice\nCN=admin',
  'alice\r\nX-Client-Cert-Subject: CN=admin',
  'a\x1b[2J',
  'größe\u202e',
  'a"b\\c;d<e>',
])('a real certificate of %j has one name', (name) => {
  const { subject } = certificateOf(name);
  const text = subjectText(subject);
  expect(text).toMatch(FIELD);
  // Two parts, the most specific one first: a comma, or a line end, within a name is escaped.
  expect(text.split(/(?<!\\),/)).toHaveLength(2);
  expect(text).toMatch(/^CN=.*,O=x$/);
});

it('what is wrong with the certificate of an endpoint is one line of the log', () => {
  for (const name of NAMES) {
    for (const code of ['ERR_TLS_WRONG_NAME', 'ERR_TLS_UNTRUSTED']) {
      const detail = connectDetail(Object.assign(new Error(`it is for ${name}`), { code }));
      expect(looksHarmless(detail)).toBe(true);
      expect(detail.length).toBeLessThan(8 * 300 + 10);
    }
  }
});

it('a reply of our own holds no field of others, as HTTP and as gRPC', () => {
  const why = reason('bad-host');
  for (const name of NAMES) {
    for (const line of grpcLines(why, name).split('\r\n')) expect(line).toMatch(FIELD);
    expect(grpcLines(why, name).split('\r\n')).toHaveLength(5);
    const reply = failureReply(why, name);
    expect(looksHarmless(reply.body.trimEnd())).toBe(true);
    const options = { wallMs: 0, serverName: '', hstsLine: '', requestId: '' };
    for (const line of replyLines(reply, options).split('\r\n')) expect(line).toMatch(FIELD);
  }
});

it('a name that a client asks for stays within its part of a PROXY header', () => {
  for (const serverName of NAMES) {
    const tls = {
      version: 'TLSv1.3',
      cipher: 'x',
      hasCertificate: false,
      serverName,
      protocol: serverName,
    };
    const source = { address: '10.0.0.1', port: 1 };
    const bytes = writeV2({ source, destination: source, tls });
    expect(bytes.readUInt16BE(14)).toBe(bytes.length - 16);
    let at = 28;
    const found: string[] = [];
    while (at < bytes.length) {
      const length = bytes.readUInt16BE(at + 1);
      if (bytes[at] === 2) found.push(bytes.toString('utf8', at + 3, at + 3 + length));
      at += 3 + length;
    }
    expect(at).toBe(bytes.length);
    expect(found).toEqual([serverName]);
  }
});
