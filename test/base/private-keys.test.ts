// No piece of a private key passes any sink, whatever form it is in and wherever it was cut.
import { expect, it } from 'vitest';
import { hideKeyLines, hidePrivateKeys, keyLinesOf } from '../../src/base/private-keys.ts';
import { hideCredentials, safeJson, safeLine, safeLines } from '../../src/base/safe-text.ts';
import { bodyOf, PRIVATE_KEYS, pieceFinder } from '../support/private-keys.ts';

const SINKS = { hidePrivateKeys, hideCredentials, safeLine, safeLines };

it.each(Object.entries(PRIVATE_KEYS))('%s: whole, as it stands or within quotes', (_, pem) => {
  const find = pieceFinder([pem]);
  expect(find(pem)).not.toBe('');
  for (const [name, hide] of Object.entries(SINKS)) {
    for (const form of [pem, pem.replaceAll('\n', ' '), pem.replaceAll('\n', '\r\n')]) {
      expect(hide(`a ${form} b`), name).toMatch(/^a \*\*\*(\s|\\n|\\r|\|)* b$/);
      const quoted = hide(`${JSON.stringify(form)}: expected`);
      expect(find(quoted), name).toBe('');
      expect(quoted, name).toMatch(/: expected$/);
    }
  }
});

it.each(Object.entries(PRIVATE_KEYS))(
  '%s: cut anywhere, its first or last line whole',
  (_, pem) => {
    const find = pieceFinder([pem]);
    const first = pem.indexOf('\n');
    const last = pem.lastIndexOf('\n', pem.length - 2);
    for (let cut = first; cut < pem.length; cut += 1) {
      expect(find(safeLine(pem.slice(0, cut)))).toBe('');
      const json = safeJson(JSON.stringify({ text: pem.slice(0, cut), next: ['"', 'kept'] }));
      expect(find(json)).toBe('');
      expect(JSON.parse(json)).toEqual({ text: expect.any(String), next: ['"', 'kept'] });
    }
    for (let cut = 0; cut < last; cut += 1) {
      expect(find(safeLine(pem.slice(cut)))).toBe('');
      const json = safeJson(JSON.stringify({ before: ['kept"'], text: pem.slice(cut) }));
      expect(find(json)).toBe('');
      expect(JSON.parse(json)).toEqual({ before: ['kept"'], text: expect.any(String) });
    }
  },
);

it.each(Object.entries(PRIVATE_KEYS))('%s: its lines alone, where it is known', (_, pem) => {
  const find = pieceFinder([pem]);
  const unpadded = bodyOf(pem).map((line) => line.replace(/=+$/, ''));
  for (const form of [
    pem,
    pem.replace(/-----END[\s\S]*/, ''),
    JSON.stringify(pem),
    `key: |\n  ${pem}`,
  ]) {
    const known = new Set(keyLinesOf(form));
    for (const line of unpadded) {
      expect(known).toContain(line);
      for (const shown of [line, `'${line}='`, JSON.stringify(`\n${line}\n`)]) {
        expect(find(hideKeyLines(shown, known))).toBe('');
      }
    }
  }
});

it('what stands around a key is no part of it', () => {
  const pem = PRIVATE_KEYS['EC, PKCS 8']!;
  const begun = pem.replace(/-----END[\s\S]*/, '').replaceAll('\n', '\n  ');
  const yaml = `a: |\n  ${begun}\nservices:\n  web: { listen: 80 }\n`;
  const known = keyLinesOf(yaml);
  expect(known).toEqual(bodyOf(pem).map((line) => line.replace(/=+$/, '')));
  expect(hidePrivateKeys(`{"a":"${JSON.stringify(pem).slice(1, -1)}","b":1}`)).toBe(
    '{"a":"***\\n","b":1}',
  );
  for (const text of ['PRIVATE KEY', 'the PRIVATE KEY of one', '-----BEGIN CERTIFICATE-----']) {
    expect(hidePrivateKeys(text)).toBe(text);
  }
  const path = '/var/lib/upriver/Certificates/Customer/A1/site/test/of/mine/key';
  for (const text of [path, 'a'.repeat(100), 'upriver.services.web.request_headers.X-Api-Key']) {
    expect(hideKeyLines(text, new Set())).toBe(text);
  }
});

it('the time grows with the text alone', () => {
  const before = process.threadCpuUsage().user;
  const first = '-----BEGIN PRIVATE KEY-----';
  for (const piece of [
    'x',
    '-',
    '\\',
    '\\"',
    '"',
    'E',
    'END ',
    first,
    '-----END PRIVATE KEY-----',
    'BEGIN A ',
  ]) {
    const text = `${first}${piece.repeat(300_000 / piece.length)}`;
    hidePrivateKeys(text);
    hidePrivateKeys(text.slice(6));
    hideKeyLines(text, new Set(keyLinesOf(text)));
  }
  expect((process.threadCpuUsage().user - before) / 1e6).toBeLessThan(3);
});
