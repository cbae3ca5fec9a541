// What a check sends and expects, as it is written.
import { describe, expect, it } from 'vitest';
import { describeService } from '../../src/config/describe.ts';
import { problemsOf, serviceOf } from '../support/config.ts';

const healthOf = (health: unknown, protocol = 'http') =>
  serviceOf({ file: JSON.stringify({ services: { a: { listen: 80, protocol, health } } }) })
    .health!;
const problemsWith = (health: unknown) =>
  problemsOf({ file: JSON.stringify({ services: { a: { listen: 80, health } } }) });

describe('health.send', () => {
  it.each([
    ['PING\\r\\n', 'PING\r\n'],
    ['PING\r\n', 'PING\r\n'],
    ['a\\x00\\0\\xff\\\\', 'a\0\0\xff\\'],
    ['\u00fc', '\xc3\xbc'],
    ['hex:50 49 4e47', 'PING'],
    ['', ''],
    [12, '12'],
  ])('%j', (send, bytes) => {
    expect(healthOf({ type: 'send_expect', send, expect: 'x' }).send).toBe(bytes);
  });

  it.each(['a\\q', 'hex:5', 'hex:zz', 'ends\\'])('refuses %j', (send) => {
    expect(problemsWith({ send }).join()).toContain('expected a text in which');
  });
});

it('refuses more than a check reads from a person', () => {
  expect(problemsWith({ send: 'x'.repeat(1024) })).toEqual([]);
  // Bounds: checkExpect
  expect(problemsWith({ send: 'x'.repeat(1025) })).toHaveLength(1);
});

describe('health.expect', () => {
  it.each([
    ['+PONG', { kind: 'bytes', bytes: '+PONG' }],
    ['hex:00ff', { kind: 'bytes', bytes: '\0\xff' }],
    ['/^2\\d\\d /', { kind: 'pattern', source: '^2\\d\\d ', ignoreCase: false }],
    ['/ready/i', { kind: 'pattern', source: 'ready', ignoreCase: true }],
    ['/', { kind: 'bytes', bytes: '/' }],
  ])('%j', (text, expected) => {
    const [ofHttp, ofTcp] = [healthOf({ expect: text }), healthOf({ expect: text }, 'tcp')];
    expect(ofHttp).toMatchObject({ type: 'http', expect: expected });
    expect(ofTcp).toMatchObject({ type: 'send_expect', expect: expected });
  });

  it.each([
    ['/(a/', "'(' without ')'"],
    ['/(?=a)/', 'groups that begin with (?'],
    ['/(.)\\1/', '\\1 is not known'],
    ['/\u00fc/', 'beyond ASCII'],
    ['', 'expected a text in which'],
  ])('refuses %j', (text, why) => {
    expect(problemsWith({ expect: text }).join()).toContain(why);
  });
});

describe('keys of another kind of check', () => {
  it.each([
    [{ type: 'tcp', send: 'x' }, 'is about checks by send_expect or udp, and this is one by tcp'],
    [{ type: 'smtp', user: 'x' }, 'is about checks by redis, postgres or mysql'],
    [{ type: 'redis', database: 'x' }, 'is about checks by postgres or mysql'],
  ])('are told: %j', (health, why) => {
    expect(problemsWith(health).join()).toContain(why);
  });

  it('are no matter where the kind is not given', () => {
    expect(healthOf({ user: 'x' }).login.user).toBe('x');
  });
});

it('keeps passwords and files of this machine out of the hands of tags', () => {
  const source = {
    ...{ registry: 'consul', service: 'db', tag: '', datacenter: '', filter: '', namespace: '' },
    ...{ partition: '', peer: '', kv: '', query: '', accept: ['passing'] as const },
  };
  const { service, problems } = describeService(source, {
    ...{ listen: '5432', protocol: 'tcp', 'health.type': 'postgres', 'health.user': 'up' },
    ...{ 'health.password_file': '/etc/shadow', 'health.password': 'x' },
    'health.password_cleartext': 'true',
  });
  expect(service?.health).toMatchObject({ type: 'postgres', login: { user: 'up', password: '' } });
  expect(service?.health?.login.passwordFile).toBe('');
  expect(service?.health?.login.isCleartextAllowed).toBe(false);
  expect(problems).toHaveLength(3);
  expect(problems[0]).toContain('no matter of tags');
});
