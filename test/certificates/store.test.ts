// Certificates over time: what is read, what replaces what is in use, and what does not.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { readPair } from '../../src/certificates/pair.ts';
import { CertificateStore } from '../../src/certificates/store.ts';
import { BOUNDS } from '../../src/model/bounds.ts';
import type { CertificateSource, ListenTls } from '../../src/model/listener.ts';
import { materialKey, type TlsMaterial } from '../../src/model/tls.ts';
import { Authority, type Issued } from '../support/certificates.ts';
import { ManualClock } from '../support/clock.ts';
import { watchTurns } from '../support/turn-times.ts';

const authority = new Authority();
afterAll(() => authority.remove());
const one = authority.issue(['one.example', '*.one.example', '10.0.0.1']);
const two = authority.issue(['two.example'], { days: 60 });
const expired = authority.issue(['one.example'], { days: -1 });
const early = authority.issue(['one.example'], { days: 9, fromDays: 5 });

let folder: string;
/** A clock by which it is now, and later when that is said. */
class DatedClock extends ManualClock {
  private readonly startMs = Date.now();
  shiftMs = 0;

  override wallMs(): number {
    return this.startMs + this.shiftMs + this.nowMs();
  }
}

let clock: DatedClock;
let sent: (readonly TlsMaterial[])[];
let lines: { level: string; message: string }[];
let store: CertificateStore;

const log = (level: string) => (fields: object, message: string) => {
  // No key in any record.
  expect(JSON.stringify(fields) + message).not.toContain('PRIVATE');
  lines.push({ level, message });
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'upriver-certs-'));
  clock = new DatedClock();
  sent = [];
  lines = [];
  store = new CertificateStore({
    clock,
    log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
    onChange: (materials) => sent.push(materials),
  });
});

afterEach(() => {
  store.close();
  rmSync(folder, { recursive: true, force: true });
});

const tlsOf = (...certificates: CertificateSource[]): ListenTls => ({
  ...{ certificates, minVersion: '1.2', clientAuth: 'off', clientCaFile: '' },
});
const pairAt = (certFile: string, keyFile = certFile): CertificateSource => ({
  ...{ kind: 'pair', certFile, keyFile },
});
const at = (name: string) => join(folder, name);
const put = (issued: Issued, cert = 'a.crt', key = 'a.key') => {
  copyFileSync(issued.certFile, at(cert));
  copyFileSync(issued.keyFile, at(key));
};
/** What has changed is read when it has stood still for one look. */
const look = async (times = 2) => {
  for (let i = 0; i < times; i += 1) {
    clock.advance(1000);
    await store.settled();
  }
};
const namesNow = () => sent.at(-1)?.flatMap(({ certificates }) => certificates.map((c) => c.names));

describe('a certificate', () => {
  it('is for the DNS names that it has, and for none within its other names', () => {
    const uri = 'one.example,URI:https://x.example/DNS:forged.example,email:DNS:no@two.example';
    const { cert, key } = authority.issue([uri], { subject: '/CN=other.example' });
    expect(readPair(cert, key).certificate.names).toEqual(['one.example']);
  });

  it('is read with its names and dates', async () => {
    const pair = readPair(one.cert, one.key);
    expect(pair.certificate.names).toEqual(['one.example', '*.one.example']);
    expect(pair.untilMs - Date.now()).toBeGreaterThan(29 * 86_400_000);
  });

  it.each([
    ['another key', one.cert, two.key, 'the key does not belong to the certificate'],
    ['no key', one.cert, 'x', 'there is no private key in it: expected PEM'],
    ['no certificate', 'x', one.key, 'there is no certificate in it: expected PEM'],
    [
      'a broken key',
      one.cert,
      '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----',
      "the key can't be read: expected PEM",
    ],
    [
      'a broken certificate',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----',
      one.key,
      "the certificate can't be read",
    ],
    [
      'a locked key',
      one.cert,
      '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----',
      'the key is encrypted',
    ],
  ])('with %s is refused', async (_, cert, key, message) => {
    expect(() => readPair(cert, key)).toThrow(message);
  });
});

describe('files of certificates', () => {
  it('are read, and sent with the settings they are for', async () => {
    put(one);
    const tls = tlsOf(pairAt(at('a.crt'), at('a.key')));
    await store.follow([tls]);
    expect(sent).toHaveLength(1);
    expect(sent[0]![0]).toMatchObject({ key: materialKey(tls), minVersion: '1.2' });
    expect(namesNow()).toEqual([['one.example', '*.one.example']]);
    expect(store.problems()).toEqual([]);
    await look(5);
    expect(sent).toHaveLength(1);
  });

  it('replace what is in use once they stand still', async () => {
    put(one);
    await store.follow([tlsOf(pairAt(at('a.crt'), at('a.key')))]);
    put(two);
    await look(1);
    expect(sent).toHaveLength(1);
    await look(1);
    expect(namesNow()).toEqual([['two.example']]);
    expect(lines).toEqual([{ level: 'info', message: 'certificate replaced' }]);
  });

  it.each([
    ['of another key', () => copyFileSync(two.certFile, at('a.crt')), 'does not belong'],
    ['that has expired', () => put(expired), 'has expired'],
    ['that is not valid yet', () => put(early), 'is not valid yet'],
    ['that is none', () => writeFileSync(at('a.crt'), 'x'), 'there is no certificate in it'],
    ['that is gone', () => unlinkSync(at('a.crt')), 'there is no such file'],
  ])('leave what is in use in place for one %s, and say so', async (_, change, problem) => {
    put(one);
    await store.follow([tlsOf(pairAt(at('a.crt'), at('a.key')))]);
    change();
    await look();
    expect(namesNow()).toEqual([['one.example', '*.one.example']]);
    expect(store.problems()).toEqual([expect.stringContaining(problem)]);
    expect(lines).toHaveLength(1);
    expect(lines[0]!.message).toContain('the one before stays in use');
    await look(3);
    expect(lines).toHaveLength(1);
    put(two);
    await look();
    expect(store.problems()).toEqual([]);
    expect(namesNow()).toEqual([['two.example']]);
  });

  it('are served with an error where there were none before that are better', async () => {
    put(expired);
    await store.follow([tlsOf(pairAt(at('a.crt'), at('a.key')))]);
    expect(namesNow()).toEqual([['one.example']]);
    expect(store.problems()[0]).toContain('has expired');
  });

  it('are told of before they expire, and when they have', async () => {
    put(one);
    await store.follow([tlsOf(pairAt(at('a.crt'), at('a.key')))]);
    clock.shiftMs = 24 * 86_400_000;
    expect(store.problems()).toEqual([expect.stringContaining('expires at')]);
    clock.shiftMs = 31 * 86_400_000;
    expect(store.problems()).toEqual([expect.stringContaining('has expired')]);
  });

  it('of a folder are those that are there, by name', async () => {
    put(two, 'b.crt', 'b.key');
    writeFileSync(at('a.pem'), one.cert + one.key);
    writeFileSync(at('readme.txt'), 'x');
    await store.follow([tlsOf({ kind: 'folder', dir: folder })]);
    expect(namesNow()).toEqual([['one.example', '*.one.example'], ['two.example']]);
    unlinkSync(at('a.pem'));
    await look();
    expect(namesNow()).toEqual([['two.example']]);
    unlinkSync(at('b.crt'));
    await look();
    expect(namesNow()).toEqual([['two.example']]);
    expect(store.problems().join()).toContain('there is no certificate');
  });

  it('of which one is broken serve the others', async () => {
    put(two, 'b.crt', 'b.key');
    writeFileSync(at('a.crt'), 'x');
    await store.follow([tlsOf({ kind: 'folder', dir: folder })]);
    expect(namesNow()).toEqual([['two.example']]);
    expect(store.problems()).toEqual([expect.stringContaining('a.crt: there is no certificate')]);
  });

  it('are forgotten with their listeners', async () => {
    put(one);
    await store.follow([tlsOf(pairAt(at('a.crt'), at('a.key')))]);
    await store.follow([]);
    expect(sent.at(-1)).toEqual([]);
    expect(store.statuses()).toEqual([]);
  });
});

describe('a folder of others', () => {
  const follow = () => store.follow([tlsOf({ kind: 'folder', dir: folder })]);
  /** One file by so many names: making as many files takes a busy disk a minute. */
  const putEmpty = (count: number, ending: string): void => {
    writeFileSync(at(`x0${ending}`), '');
    for (let i = 1; i < count; i += 1) linkSync(at(`x0${ending}`), at(`x${i}${ending}`));
  };

  it('with more certificates than there may be is refused, and what was there stays', async () => {
    put(one);
    await follow();
    putEmpty(BOUNDS.certificates.max, '.pem');
    await look();
    expect(store.problems().join()).toContain('holds more than 1000 certificates');
    expect(namesNow()).toEqual([['one.example', '*.one.example']]);
  });

  // Bounds: certificateNames
  it('with too many files is refused at once, and what was there stays', async () => {
    put(one);
    await follow();
    putEmpty(12_000, '');
    const before = process.threadCpuUsage();
    await look();
    const { user, system } = process.threadCpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(200);
    expect(store.problems().join()).toContain('holds more than 10,000 files');
    expect(namesNow()).toEqual([['one.example', '*.one.example']]);
  });

  // Bounds: certificateFile
  it('with what is no file, or no small one, serves the others', async () => {
    put(one);
    execFileSync('mkfifo', [at('b.pem')]);
    symlinkSync('/dev/zero', at('c.pem'));
    symlinkSync('d.pem', at('d.pem'));
    mkdirSync(at('e.pem'));
    writeFileSync(at('f.pem'), '');
    truncateSync(at('f.pem'), 2 ** 30);
    writeFileSync(at('g\x1b[2J.pem'), 'x');
    await follow();
    await look();
    expect(namesNow()).toEqual([['one.example', '*.one.example']]);
    const problems = store.problems().join('\n');
    const said = ['b.pem is a FIFO', 'c.pem is a device', 'ELOOP', 'e.pem is a directory'];
    for (const text of [...said, 'f.pem is larger than 1MiB']) expect(problems).toContain(text);
  });

  it('of hundreds holds up no turn for long, at first and when all are replaced', async () => {
    // Each would take a millisecond or more of one turn; each also asks the disk some ten times, one after the other.
    const names = Array.from({ length: 300 }, (_, i) => `c${i}`);
    for (const name of names) put(one, `${name}.crt`, `${name}.key`);
    // Looks are ten times as often, so that nobody waits for them.
    const soon = (ms: number, run: () => void) => systemClock.setTimer(ms / 10, run);
    const large = new CertificateStore({
      ...{ clock: { ...systemClock, setTimer: soon }, log: silentLogger },
      onChange: (materials) => sent.push(materials),
    });
    const count = (of: string) => namesNow()?.filter(([name]) => name === of).length ?? 0;
    const turns = watchTurns();
    try {
      await large.follow([tlsOf({ kind: 'folder', dir: folder })]);
      expect(count('one.example')).toBe(names.length);
      expect(turns.longest()).toBeLessThan(100);
      for (const name of names) put(two, `${name}.crt`, `${name}.key`);
      // What the test itself has done does not count.
      const after = watchTurns();
      await new Promise((resolve) => setImmediate(resolve));
      await expect.poll(() => count('two.example')).toBe(names.length);
      after.stop();
      expect(after.longest()).toBeLessThan(100);
    } finally {
      turns.stop();
      large.close();
    }
  });

  it('with a key that every user may read warns of it', async () => {
    put(one);
    chmodSync(at('a.key'), 0o640);
    await follow();
    expect(lines.filter(({ level }) => level === 'warn')).toEqual([]);
    put(two, 'b.crt', 'b.key');
    chmodSync(at('b.key'), 0o644);
    await follow();
    const [warning, ...more] = lines.filter(({ level }) => level === 'warn');
    expect(warning?.message).toMatch(/private key .*b\.key: every user .* \(mode 0644\)/);
    await look();
    expect(more).toEqual([]);
  });
});

describe('the key of session tickets', () => {
  it('is the same for all, and replaced twice a day', async () => {
    put(one);
    const source = pairAt(at('a.crt'), at('a.key'));
    await store.follow([tlsOf(source), { ...tlsOf(source), minVersion: '1.3' }]);
    const [a, b] = sent[0]!;
    expect(a!.ticketKey).toHaveLength(48);
    expect(a!.ticketKey).toEqual(b!.ticketKey);
    clock.advance(12 * 3_600_000 + 1000);
    await store.settled();
    expect(sent.length).toBeGreaterThan(1);
    expect(sent.at(-1)![0]!.ticketKey).not.toEqual(a!.ticketKey);
  });
});

describe('CA certificates of clients', () => {
  it('are read with the listeners, and again when they change', async () => {
    put(one);
    writeFileSync(at('ca.pem'), authority.ca);
    const source = pairAt(at('a.crt'), at('a.key'));
    const tls: ListenTls = {
      ...tlsOf(source),
      ...{ clientAuth: 'require', clientCaFile: at('ca.pem') },
    };
    await store.follow([tls]);
    expect(sent[0]![0]!.clientCa).toBe(authority.ca);
    writeFileSync(at('ca.pem'), `${authority.ca}${one.cert}`);
    await look();
    expect(sent.at(-1)![0]!.clientCa).toContain(one.cert);
    unlinkSync(at('ca.pem'));
    await look();
    expect(sent.at(-1)![0]!.clientCa).toContain(one.cert);
    expect(store.problems().join()).toContain('CA file');
  });

  it('that were never read refuse every client', async () => {
    put(one);
    const source = pairAt(at('a.crt'), at('a.key'));
    await store.follow([{ ...tlsOf(source), clientAuth: 'request', clientCaFile: at('none.pem') }]);
    expect(namesNow()).toEqual([]);
  });
});
