// Certificates that are ordered, against a CA that checks everything: first ones, renewals, restarts,
// several processes on one folder, and what a CA can do wrong.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { obtain } from '../../../src/certificates/acme/attempt.ts';
import { AcmeKeeper } from '../../../src/certificates/acme/keeper.ts';
import { caFolderOf, certificateFileOf } from '../../../src/certificates/acme/place.ts';
import { readPair } from '../../../src/certificates/pair.ts';
import type { AcmeSettings, ChallengeTable, ChallengeType } from '../../../src/model/acme.ts';
import { Challenges } from '../../../src/proxy/tls/challenges.ts';
import { Refusal } from '../../support/acme-jws.ts';
import { AcmeServer } from '../../support/acme-server.ts';
import { Authority } from '../../support/certificates.ts';
import { ManualClock } from '../../support/clock.ts';
import { looksHarmless } from '../../support/hostile-names.ts';

const MS_MAX = 30_000;

/** By it, it is now at first. */
class DatedClock extends ManualClock {
  private readonly startMs = Date.now();

  override wallMs(): number {
    return this.startMs + this.nowMs();
  }
}

let folder: string;
let ca: AcmeServer;
let clock: DatedClock;
let lines: { level: string; message: string }[];
let web: Server;
let keepers: AcmeKeeper[];
/** What the listeners of this machine answer. */
let challenges: Challenges;

const log = (level: string) => (fields: object, message: string) => {
  // No key in any record.
  expect(JSON.stringify(fields) + message).not.toContain('PRIVATE');
  lines.push({ level, message });
};
const logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'upriver-acme-'));
  ca = await AcmeServer.start();
  clock = new DatedClock();
  lines = [];
  keepers = [];
  challenges = new Challenges();
  web = createServer((request, response) => {
    const text = challenges.answerTo(request.headers.host ?? '', request.url ?? '');
    response.statusCode = text === null ? 404 : 200;
    response.end(text ?? 'routed');
  }).listen(0, '127.0.0.1');
  await once(web, 'listening');
  ca.behaviour.ports.http = (web.address() as AddressInfo).port;
});

afterEach(async () => {
  await Promise.all(keepers.map((keeper) => keeper.close()));
  web.closeAllConnections();
  web.close();
  await ca.close();
  rmSync(folder, { recursive: true, force: true });
});

function settings(parts: Partial<AcmeSettings> = {}): AcmeSettings {
  return {
    ...{ directory: ca.directory, email: 'ops@example.com', domains: ['a.example'], dir: folder },
    ...{ challenge: 'auto', caFile: '', binding: null, terms: '' },
    ...parts,
  };
}

interface KeepOptions {
  readonly types?: readonly ChallengeType[];
  readonly answer?: (table: ChallengeTable) => Promise<void>;
}

function keep(acme: AcmeSettings = settings(), options: KeepOptions = {}): AcmeKeeper {
  const { types = ['http-01'], answer = async (table: ChallengeTable) => challenges.set(table) } =
    options;
  const loadObtain = async () => obtain;
  const keeper = new AcmeKeeper({ clock, random: () => 0.5, log: logger, loadObtain, answer });
  keepers.push(keeper);
  keeper.follow([acme], types);
  return keeper;
}

/** Lets time pass until `test` holds. */
async function pass(test: () => boolean, stepMs = 500): Promise<void> {
  const end = performance.now() + MS_MAX;
  while (!test()) {
    if (performance.now() > end) {
      throw new Error(
        `it did not happen: ${JSON.stringify([ca.asked.slice(-5), ca.looked, lines])}`,
      );
    }
    clock.advance(stepMs);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

const statusOf = (keeper: AcmeKeeper, acme = settings()) =>
  keeper.statuses().get(certificateFileOf(acme))!;
const isValid =
  (keeper: AcmeKeeper, acme = settings()) =>
  () =>
    statusOf(keeper, acme).state === 'valid' && existsSync(certificateFileOf(acme));
const isWaiting = (keeper: AcmeKeeper) => () => statusOf(keeper).state === 'waiting';
const pairOf = (acme = settings()) => {
  const file = certificateFileOf(acme);
  const text = readFileSync(file, 'latin1');
  return readPair(text, text);
};
const attemptsOf = () =>
  JSON.parse(readFileSync(join(caFolderOf(settings()), 'a.example.json'), 'utf8'));
/** The next attempt is not made before its time, and then it is. */
async function untilNext(keeper: AcmeKeeper, resource: string): Promise<void> {
  const before = ca.countOf(resource);
  clock.advance(statusOf(keeper).nextMs - 1500 - clock.wallMs());
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(ca.countOf(resource)).toBe(before);
  await pass(() => ca.countOf(resource) > before);
}

describe('a first certificate', () => {
  it('counts when it is known how long it lasts', async () => {
    const keeper = keep();
    // Looked at in each turn of the loop: reading the file takes some.
    while (statusOf(keeper).renewals === 0) {
      clock.advance(10);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(statusOf(keeper).nextMs).toBeGreaterThan(clock.wallMs());
  });

  it('is ordered, proven by HTTP, and lies in the folder with its key', async () => {
    const acme = settings({ domains: ['a.example', 'www.a.example'] });
    const keeper = keep(acme);
    await pass(isValid(keeper, acme));
    expect(pairOf(acme).certificate.names.toSorted()).toEqual(['a.example', 'www.a.example']);
    expect(ca.looked.map(({ type, problem }) => [type, problem])).toEqual([
      ['http-01', ''],
      ['http-01', ''],
    ]);
    expect(ca.contacts).toEqual([['mailto:ops@example.com']]);
    expect(statusOf(keeper, acme)).toMatchObject({ renewals: 1, failures: 0, error: '' });
    expect(keeper.problems()).toEqual([]);
    // Nothing is answered any more, and nothing is left of the order.
    await pass(() => !challenges.hasHttp);
    expect(readdirSync(join(caFolderOf(acme), 'challenges'))).toEqual([]);
    await pass(() => !existsSync(join(caFolderOf(acme), 'lock')));
  });

  it('leaves files that others of this machine cannot read', async () => {
    const keeper = keep();
    await pass(isValid(keeper));
    await keeper.close();
    const path = caFolderOf(settings());
    const modes = readdirSync(path).map((name) => [name, statSync(join(path, name)).mode & 0o777]);
    expect(Object.fromEntries(modes)).toEqual({
      ...{ 'account.json': 0o600, 'a.example.pem': 0o600, 'a.example.json': 0o600 },
      challenges: 0o700,
    });
    expect(statSync(path).mode & 0o777).toBe(0o700);
  });

  it('is for an account that is bound to another one where the CA wants that', async () => {
    ca.behaviour.binding = {
      keyId: 'customer-7',
      key: Buffer.from('secret').toString('base64url'),
    };
    const keyFile = join(folder, 'eab.key');
    writeFileSync(keyFile, `${ca.behaviour.binding.key}\n`);
    const keeper = keep(settings({ binding: { keyId: 'customer-7', keyFile } }));
    await pass(isValid(keeper));
    expect(ca.accountCount).toBe(1);
  });

  it('is not ordered under terms other than those that were agreed to', async () => {
    ca.behaviour.terms = 'https://ca.example/terms-2';
    const keeper = keep(settings({ terms: 'https://ca.example/terms-1' }));
    await pass(isWaiting(keeper));
    expect(statusOf(keeper).error).toContain(
      "the CA's terms of service are https://ca.example/terms-2",
    );
    expect(ca.accountCount).toBe(0);
  });

  it('comes by TLS from a CA whose own certificate a file vouches for', async () => {
    const authority = new Authority();
    const secure = await AcmeServer.start(authority.issue(['127.0.0.1']));
    secure.behaviour.ports.http = ca.behaviour.ports.http;
    const trusting = settings({ directory: secure.directory, caFile: authority.caFile });
    await pass(isValid(keep(trusting), trusting));
    const other = settings({ directory: secure.directory, domains: ['b.example'] });
    const distrusting = keep(other);
    await pass(() => statusOf(distrusting, other).state === 'waiting');
    expect(statusOf(distrusting, other).error).toMatch(/is not reached: .*certificate/);
    await secure.close();
    authority.remove();
  });
});

describe('a renewal', () => {
  it('comes at two thirds of the life, with the same account', async () => {
    const keeper = keep();
    await pass(isValid(keeper));
    const { fromMs, untilMs } = pairOf();
    const { nextMs } = statusOf(keeper);
    const share = (nextMs - fromMs) / (untilMs - fromMs);
    expect(share).toBeGreaterThan(0.6);
    expect(share).toBeLessThanOrEqual(0.67);
    const before = ca.asked.length;
    await pass(() => clock.wallMs() > nextMs - 120_000, 60_000);
    expect(ca.asked).toHaveLength(before);
    await pass(() => ca.issued.length === 2, 1000);
    await pass(() => statusOf(keeper).renewals === 2);
    expect(ca.accountCount).toBe(1);
    expect(ca.countOf('new-account')).toBe(1);
  });

  it.each([
    ['has expired', -1],
    ['expires soon', 0.2],
    ['is for other names', 30],
  ])('is made at once of what %s', async (what, days) => {
    const path = caFolderOf(settings());
    mkdirSync(path, { recursive: true });
    const name = days === 30 ? 'other.example' : 'a.example';
    const { cert, key } = ca.authority.issue([name], { days });
    writeFileSync(certificateFileOf(settings()), cert + key);
    const { fingerprint } = pairOf();
    const keeper = keep();
    await pass(() => pairOf().fingerprint !== fingerprint);
    await pass(() => statusOf(keeper).renewals === 1);
    expect(ca.issued, what).toHaveLength(1);
  });

  it('is made when the names have changed, and the old one stays until then', async () => {
    const keeper = keep();
    await pass(isValid(keeper));
    const { fingerprint } = pairOf();
    const wider = settings({ domains: ['a.example', 'b.example'] });
    ca.behaviour.looks = 2;
    keeper.follow([wider], ['http-01']);
    await pass(() => ca.issued.length === 2);
    expect(pairOf().fingerprint).toBe(fingerprint);
    await pass(() => pairOf().fingerprint !== fingerprint);
    expect(pairOf().certificate.names.toSorted()).toEqual(['a.example', 'b.example']);
  });
});

describe('a CA that', () => {
  it('refuses a nonce gets another one', async () => {
    ca.behaviour.badNonces = 2;
    const keeper = keep();
    await pass(isValid(keeper));
    expect(statusOf(keeper).failures).toBe(0);
  });

  it('limits the rate is asked again after the time it names, not before', async () => {
    const refusal = new Refusal('rateLimited', 'too many orders', 429, { 'retry-after': '7200' });
    ca.behaviour.refusals.push({ resource: 'new-order', refusal });
    const keeper = keep();
    await pass(isWaiting(keeper));
    const { error, nextMs } = statusOf(keeper);
    expect(error).toContain('the order: ');
    expect(error).toContain('the CA answered rateLimited: too many orders');
    expect(nextMs - clock.wallMs()).toBeGreaterThan(7_190_000);
    await untilNext(keeper, 'new-order');
    await pass(isValid(keeper));
    expect(keeper.problems()).toEqual([]);
  });

  it('is not convinced is told of with name, challenge and reason, and asked ever less', async () => {
    ca.behaviour.ports.http = 1;
    const keeper = keep();
    await pass(isWaiting(keeper));
    expect(keeper.problems()[0]).toMatch(
      /^no certificate for a\.example: a\.example: http-01: the CA said unauthorized: connect ECONNREFUSED .*; next attempt at 2/,
    );
    const waits: number[] = [];
    for (let i = 0; i < 4; i += 1) {
      waits.push(statusOf(keeper).nextMs - clock.wallMs());
      await untilNext(keeper, 'new-order');
      await pass(() => statusOf(keeper).failures === i + 2);
    }
    expect(waits[0]).toBeGreaterThan(25_000);
    for (let i = 1; i < 4; i += 1) expect(waits[i]).toBeGreaterThan(waits[i - 1]! * 2);
    // What the CA looked for is answered no more.
    await pass(() => !challenges.hasHttp);
  });

  // Bounds: acmeOrder
  it('does not decide is waited for, and the order goes on afterwards', async () => {
    ca.behaviour.isUndecided = true;
    const keeper = keep();
    await pass(isWaiting(keeper));
    expect(statusOf(keeper).error).toBe('a.example: the CA has not decided yet after 10 minutes');
    expect(attemptsOf().order.url).toContain('/order/0');
    expect(ca.countOf('authz')).toBeLessThan(70);
  });

  it('takes its time with the certificate is asked for it again', async () => {
    ca.behaviour.looks = 5;
    const keeper = keep();
    await pass(isValid(keeper));
    expect(ca.countOf('order')).toBeGreaterThanOrEqual(5);
    expect(ca.issued).toHaveLength(1);
  });

  it('is down is tried again soon, then ever less, and nothing is lost by it', async () => {
    await ca.hide();
    const keeper = keep();
    await pass(isWaiting(keeper));
    expect(statusOf(keeper).error).toMatch(/is not reached: connect ECONNREFUSED/);
    expect(statusOf(keeper).nextMs - clock.wallMs()).toBeLessThan(10_000);
    await pass(() => statusOf(keeper).failures >= 5);
    expect(statusOf(keeper).nextMs - clock.wallMs()).toBeGreaterThan(60_000);
    await ca.reopen();
    await pass(isValid(keeper));
    expect(keeper.problems()).toEqual([]);
  });

  it('goes down while it works finds its order again, and issues once', async () => {
    ca.behaviour.looks = 3;
    const keeper = keep();
    await pass(() => ca.issued.length === 1);
    await ca.hide();
    await pass(() => statusOf(keeper).failures > 0);
    await ca.reopen();
    await pass(isValid(keeper));
    expect(ca.issued).toHaveLength(1);
  });

  it('has forgotten the account gets the same key again', async () => {
    const keeper = keep();
    await pass(isValid(keeper));
    const url = JSON.parse(readFileSync(join(caFolderOf(settings()), 'account.json'), 'utf8')).url;
    ca.forgetAccounts();
    await pass(() => clock.wallMs() > statusOf(keeper).nextMs, 600_000);
    await pass(() => ca.issued.length === 2, 1000);
    await pass(() => statusOf(keeper).state === 'valid');
    const again = JSON.parse(
      readFileSync(join(caFolderOf(settings()), 'account.json'), 'utf8'),
    ).url;
    expect(again).toBe(url);
  });

  it('offers nothing that we answer is told so', async () => {
    ca.behaviour.offered = ['tls-alpn-01'];
    const keeper = keep();
    await pass(isWaiting(keeper));
    expect(statusOf(keeper).error).toBe('a.example: the CA offers tls-alpn-01: expected http-01');
  });

  it('answers without end is cut off', async () => {
    ca.behaviour.padding = 300 * 1024;
    const keeper = keep();
    await pass(isWaiting(keeper));
    // Bounds: acmeAnswer
    expect(statusOf(keeper).error).toContain("the CA's answer is larger than 262144 bytes");
    expect(existsSync(certificateFileOf(settings()))).toBe(false);
  });

  it('sends no certificate of ours leaves what there was', async () => {
    const keeper = keep();
    await pass(isValid(keeper));
    const { fingerprint } = pairOf();
    ca.behaviour.refusals.push({
      resource: 'cert',
      refusal: new Refusal('malformed', '\u001b[31mno\nsuch thing', 404),
    });
    await pass(() => clock.wallMs() > statusOf(keeper).nextMs, 600_000);
    await pass(isWaiting(keeper));
    // What it says can't act where it is shown.
    expect(statusOf(keeper).error).toContain('malformed: \\u{1b}[31mno\\nsuch thing');
    expect(pairOf().fingerprint).toBe(fingerprint);
  });

  it('is asked by another challenge after a failure, where there is one', async () => {
    ca.behaviour.ports = { http: 1, tls: 1 };
    const keeper = keep(settings(), { types: ['http-01', 'tls-alpn-01'] });
    await pass(() => statusOf(keeper).failures === 3);
    expect(ca.looked.map(({ type }) => type)).toEqual(['http-01', 'tls-alpn-01', 'http-01']);
  });
});

describe('what a CA says is bounded:', () => {
  const LONG = 'x'.repeat(100_000);

  it.each<[string, unknown, string]>([
    ['terms of another type', 5, ''],
    // Bounds: acmeUrl
    ['terms without end', `http://127.0.0.1/${LONG}`, 'more than 2048 characters'],
  ])('%s spoil no account', async (_, terms, problem) => {
    ca.behaviour.terms = terms as string;
    const keeper = keep();
    await pass(() => statusOf(keeper).renewals === 1 || statusOf(keeper).error !== '');
    expect(statusOf(keeper).error).toContain(problem);
    ca.behaviour.terms = '';
    await pass(() => statusOf(keeper).renewals === 1, 60_000);
  });

  it.each([
    `http://127.0.0.1/${LONG}`,
    'file:///etc/passwd',
    'javascript:alert(1)',
    '/relative',
    '\x1b[2J',
  ])('the URL %.30s is not followed', async (url) => {
    ca.behaviour.newOrder = url;
    const keeper = keep();
    await pass(() => statusOf(keeper).error !== '');
    const { error } = statusOf(keeper);
    expect(error).toMatch(/the CA names a URL/);
    expect(error.length).toBeLessThan(1100);
    expect(looksHarmless(error)).toBe(true);
    // What is kept of it can be read again.
    const again = keep();
    await pass(() => statusOf(again).error !== '');
    expect(statusOf(again).error).toBe(error);
  });

  it('authorizations are as many as names', async () => {
    ca.behaviour.authorizations = 7000;
    const keeper = keep();
    await pass(() => statusOf(keeper).error !== '');
    expect(statusOf(keeper).error).toContain('7000 authorizations for 1 names');
    expect(ca.asked.filter((name) => name === 'authz')).toEqual([]);
  });
});

describe('the folder', () => {
  const pathOf = (name: string) => join(caFolderOf(settings()), name);
  async function ordered(): Promise<void> {
    const keeper = keep();
    await pass(() => statusOf(keeper).renewals === 1);
    await keeper.close();
    rmSync(certificateFileOf(settings()));
  }

  it('shows no key where the account is damaged', async () => {
    await ordered();
    writeFileSync(pathOf('account.json'), '{"url":"","key":s3cr3t-key-s3cr3t}');
    const keeper = keep();
    await pass(() => statusOf(keeper).error !== '');
    expect(statusOf(keeper).error).toContain('account.json: expected JSON');
    expect(JSON.stringify(lines)).not.toContain('s3cr3t');
  });

  it('with a key that others may read is warned of', async () => {
    await ordered();
    expect(lines.filter(({ level }) => level === 'warn')).toEqual([]);
    chmodSync(pathOf('account.json'), 0o644);
    const keeper = keep();
    await pass(() => statusOf(keeper).renewals === 1);
    expect(lines.find(({ level }) => level === 'warn')?.message).toContain('(mode 0644)');
  });

  it('is private whatever the umask is', async () => {
    const before = process.umask(0);
    try {
      await ordered();
    } finally {
      process.umask(before);
    }
    for (const name of ['.', 'challenges']) {
      expect(statSync(pathOf(name)).mode & 0o777).toBe(0o700);
    }
    expect(statSync(pathOf('account.json')).mode & 0o777).toBe(0o600);
  });

  it('with a FIFO in the place of its lock holds up nobody', async () => {
    await ordered();
    execFileSync('mkfifo', [pathOf('lock')]);
    const keeper = keep();
    await pass(() => statusOf(keeper).state === 'elsewhere');
    expect(statusOf(keeper).error).toBe('');
  });
});

describe('a restart', () => {
  it('orders nothing where a certificate is there', async () => {
    const first = keep();
    await pass(isValid(first));
    await first.close();
    const before = ca.asked.length;
    const next = keep();
    await pass(() => statusOf(next).nextMs > clock.wallMs() + 1000);
    expect(ca.asked).toHaveLength(before);
  });

  it('in the middle of an order goes on with it', async () => {
    ca.behaviour.looks = 1000;
    const first = keep();
    await pass(() => ca.issued.length === 1);
    await pass(() => attemptsOf().order !== null);
    await first.close();
    expect(existsSync(join(caFolderOf(settings()), 'lock'))).toBe(false);
    ca.finish();
    const next = keep();
    await pass(isValid(next));
    expect(ca.countOf('new-order')).toBe(1);
    expect(ca.issued).toHaveLength(1);
    await pass(() => attemptsOf().order === null);
  });

  it('does not hurry what was refused before', async () => {
    ca.behaviour.ports.http = 1;
    const first = keep();
    await pass(() => statusOf(first).failures === 3);
    const { nextMs } = statusOf(first);
    await first.close();
    const next = keep();
    await pass(() => statusOf(next).nextMs > 0);
    expect(statusOf(next)).toMatchObject({ state: 'waiting', nextMs });
    expect(next.problems()[0]).toContain('http-01');
    await untilNext(next, 'new-order');
  });

  it('takes the lock of a process that has ended', async () => {
    const first = keep();
    await pass(isValid(first));
    await first.close();
    rmSync(certificateFileOf(settings()));
    const lock = join(caFolderOf(settings()), 'lock');
    // Left by somebody on another machine, who may live.
    writeFileSync(lock, JSON.stringify({ host: 'other', pid: 1, id: 'x' }));
    const next = keep();
    await pass(() => statusOf(next).state === 'elsewhere');
    const sinceMs = clock.wallMs();
    // As long as it is touched, it is respected.
    await pass(() => {
      utimesSync(lock, clock.wallMs() / 1000, clock.wallMs() / 1000);
      return clock.wallMs() > sinceMs + 90_000;
    });
    expect(ca.issued).toHaveLength(1);
    await pass(isValid(next));
    expect(ca.issued).toHaveLength(2);
    expect(clock.wallMs() - sinceMs).toBeGreaterThan(140_000);
  });
});

it('a process that ended between certificate and notes does not take the old one again', async () => {
  const keeper = keep();
  await pass(isValid(keeper));
  const done = join(caFolderOf(settings()), 'a.example.json');
  await pass(() => attemptsOf().order === null);
  await keeper.close();
  const key = /-----BEGIN PRIVATE KEY-----[\s\S]*/.exec(pairOf().certificate.privateKey)![0];
  const order = { url: `${new URL('/order/0', ca.directory)}`, key };
  writeFileSync(done, JSON.stringify({ ...attemptsOf(), nextMs: 0, order }));
  const next = keep();
  await pass(() => statusOf(next).nextMs > clock.wallMs());
  clock.advance(statusOf(next).nextMs - clock.wallMs());
  await pass(() => ca.issued.length === 2);
});

it('a CA whose certificates are nearly over is not asked all the time', async () => {
  ca.behaviour.fromMs = -10 * 86_400_000;
  const keeper = keep();
  await pass(() => statusOf(keeper).renewals === 1);
  const left = pairOf().untilMs - clock.wallMs();
  clock.advance(left / 5);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(ca.issued).toHaveLength(1);
  await pass(() => ca.issued.length === 2, 60_000);
});

describe('two processes on one folder', () => {
  it('order once, and either answers for the other', async () => {
    const other = new Challenges();
    const first = keep();
    // The CA reaches the other one alone.
    const second = keep(settings(), { answer: async (table) => other.set(table) });
    web.removeAllListeners('request');
    let answered = 0;
    web.on('request', (request, response) => {
      const both = [challenges, other].map((one) =>
        one.answerTo(request.headers.host ?? '', request.url ?? ''),
      );
      answered = both.filter((text) => text !== null && text !== '').length;
      response.end(both[0] || both[1]);
    });
    await pass(() => challenges.hasHttp || other.hasHttp);
    // The other one looks at the folder within a second, and the CA is asked after two and a half: here they pass
    // no faster than files are read.
    await pass(() => challenges.hasHttp && other.hasHttp, 5);
    await pass(() => isValid(first)() && isValid(second)());
    expect(answered).toBe(2);
    expect(ca.issued).toHaveLength(1);
    expect(ca.accountCount).toBe(1);
    await pass(() => !challenges.hasHttp && !other.hasHttp);
    expect(statusOf(first).nextMs).toBeGreaterThan(clock.wallMs());
    expect(statusOf(second).nextMs).toBeGreaterThan(clock.wallMs());
  });
});

it('a certificate that came from elsewhere while an attempt failed is known', async () => {
  const first = keep();
  await pass(isValid(first));
  await first.close();
  const file = certificateFileOf(settings());
  const given = readFileSync(file);
  rmSync(file);
  ca.behaviour.isUndecided = true;
  const keeper = keep();
  await pass(() => ca.countOf('challenge') === 2);
  writeFileSync(file, given);
  await pass(() => statusOf(keeper).nextMs > clock.wallMs());
  expect(statusOf(keeper).state).toBe('ordering');
  ca.behaviour.refusals.push({ resource: 'authz', refusal: new Refusal('malformed', 'no') });
  await pass(() => statusOf(keeper).failures === 1);
  await pass(() => statusOf(keeper).state === 'valid');
  expect(keeper.problems()).toEqual([]);
});

it('a folder that cannot be written is named, and tried again later', async () => {
  writeFileSync(join(folder, 'file'), '');
  const acme = settings({ dir: join(folder, 'file') });
  const keeper = keep(acme);
  await pass(() => statusOf(keeper, acme).state === 'waiting');
  expect(statusOf(keeper, acme).error).toMatch(/ENOTDIR|EEXIST/);
  expect(ca.asked).toEqual([]);
});
