// What services say of themselves in the registry, and what they may not say.
import { describe, expect, it } from 'vitest';
import { describeService, isGoodSetting } from '../../src/config/describe.ts';
import { describeEntries } from '../../src/discovery/self-description.ts';
import { onlySource, plainSource } from '../../src/model/source.ts';
import { serviceOf } from '../support/config.ts';
import { plainListen } from '../support/service.ts';

describe('a service that describes itself', () => {
  const source = plainSource('consul', 'api');

  it('is what its tags say, with the defaults for the rest', () => {
    const { service, problems } = describeService(source, {
      ...{ listen: '8080', 'health.path': '/health', balance: 'p2c', 'retry.attempts': '5' },
      ...{ 'http.via': 'true', 'timeouts.connect': '250ms', 'retry.on': 'connect,502' },
    });
    expect(problems).toEqual([]);
    const plain = serviceOf({ file: 'services: { api: {} }' });
    expect(service).toEqual({
      ...plain,
      from: onlySource(source),
      listen: [plainListen({ kind: 'tcp', host: '', port: 8080 })],
      balance: { policy: 'p2c', hash: null },
      health: expect.objectContaining({ path: '/health', intervalMs: 2000 }),
      retry: {
        ...plain.retry,
        ...{ attempts: 5, on: new Set(['connect']), onStatus: new Set([502]) },
      },
      http: { ...plain.http, via: true },
      timeouts: { ...plain.timeouts, connectMs: 250 },
    });
  });

  it.each<[Record<string, string>, string]>([
    [{ balance: 'p2c' }, 'tag listen: is missing: expected a port to serve the service on'],
    [
      { listen: 'x' },
      'tag listen: "x": expected a port, address:port or the path of a unix socket',
    ],
    [
      { listen: 'shop.example:80' },
      'tag listen: "shop.example": expected a port or IP address and port',
    ],
  ])('without a good place to listen is none: %o', (settings, message) => {
    const { service, problems } = describeService(source, settings);
    expect(service).toBeNull();
    expect(problems).toEqual([message]);
  });

  it.each<[Record<string, string>, string]>([
    [{ 'health.intervall': '1s' }, 'did you mean interval?'],
    [{ 'upriver.healt.path': '/x' }, 'unknown key'],
    [{ balanc: 'p2c' }, 'did you mean balance?'],
    [{ 'limits.queue': '-1' }, 'tag limits.queue: "-1": '],
    [{ health: '/x' }, 'tag health: '],
    [{ 'listen.address': '80' }, 'tag listen'],
    [{ __proto__: 'x' }, ''],
    [{ 'constructor.prototype': 'x' }, 'tag constructor'],
    [{ protocol: 'tcp', balance: 'hash(header:x)' }, 'a tcp service has no header'],
    [{ protocol: 'udp', balance: 'hash(cookie:x)' }, 'a udp service has no cookie'],
    // What reaches beyond the service.
    [{ 'from.registry': 'static' }, 'tag from.registry: '],
    [{ 'http.trusted_proxies': '0.0.0.0/0' }, 'whom to trust'],
    [{ 'http.request_headers.X-Forwarded-For': '' }, '"X-Forwarded-For"'],
    [{ 'http.request_headers.x_forwarded_for': '1.2.3.4' }, '"x_forwarded_for"'],
    [{ 'http.request_headers.X-Real-IP': '127.0.0.1' }, '"X-Real-IP"'],
    [{ 'http.request_headers.Forwarded': 'for=1' }, '"Forwarded"'],
    [{ 'http.request_headers.Via': '' }, '"Via"'],
    [{ 'http.request_headers.Origin': '' }, '"Origin"'],
    [{ 'http.request_headers.Sec-Fetch-Site': 'none' }, '"Sec-Fetch-Site"'],
    [{ 'http.rename_request_headers.X-Forwarded-For': 'X-Old' }, '"X-Forwarded-For"'],
    [{ 'http.rename_request_headers.X-Mine': 'X-Real-Ip' }, '"X-Real-Ip"'],
    [{ 'http.request_headers.Host': 'x' }, 'expected a field that does not frame'],
    [{ 'http.request_headers.Connection': 'x' }, 'expected a field that does not frame'],
    [{ 'http.request_headers.Transfer-Encoding': 'x' }, 'expected a field that does not frame'],
    [{ 'retry.body': '1GB' }, 'a tag may set 1048576 at most'],
    [{ 'limits.header_bytes': '1GB' }, 'a tag may set 262144 at most'],
    [{ 'limits.queue': '1000000' }, 'a tag may set 10000 at most'],
  ])('%o spoils itself alone', (settings, message) => {
    const others = { listen: '8080', 'health.path': '/h', 'timeouts.connect': '250ms' };
    const { service, problems } = describeService(source, { ...settings, ...others });
    const { protocol = 'http' } = settings;
    expect(service).toEqual(describeService(source, { ...others, protocol }).service);
    if (message !== '') expect(problems.join()).toContain(message);
    expect(problems).toHaveLength(message === '' ? 0 : 1);
  });

  const odd = [
    ...['', '=x', '.=x', 'listen', 'listen=', 'listen.=8', 'listen.address=80', 'listen.0=80'],
    ...['listen=99999', 'listen=a b', 'listen=/run/x.sock', 'listen.tls=true', 'health', 'health='],
    ...['health.path', 'from=x', 'from.0.registry=static', 'from.service=x', '__proto__=x'],
    ...[
      '__proto__.listen=x',
      'constructor=1',
      'route=x',
      'route.host=..',
      'protocol=',
      'protocol=sctp',
    ],
    ...[
      'protocol=tcp',
      'http=x',
      'http.request_headers=x',
      'http.request_headers.a b=x',
      'primary=x',
    ],
    ...[
      'failover=1',
      'failover.after=x',
      'limits=',
      'retry.on=,',
      'weight=x',
      'name=x',
      'a.b.c.d.e=1',
    ],
    `${'x'.repeat(2000)}=1`,
  ];
  it.each(odd)('is served as its other instances say where one has the tag upriver.%s', (tag) => {
    const instance = (ID: string, Tags: string[], ModifyIndex: number) => ({
      Service: { ID, Tags, ModifyIndex },
    });
    const plain = ['upriver.listen=8000', 'upriver.health.path=/h'];
    for (const index of [1, 9]) {
      const bad = instance('bad', [`upriver.${tag}`], index);
      for (const entries of [
        [instance('a', plain, 5), instance('b', plain, 5), bad],
        [bad, instance('a', plain, 5), instance('b', plain, 5)],
      ]) {
        const reading = { prefix: 'upriver', isGood: isGoodSetting };
        const { settings } = describeEntries(entries, reading);
        const { service } = describeService(source, settings ?? {});
        expect(service?.listen).toEqual([plainListen({ kind: 'tcp', host: '', port: 8000 })]);
        expect(service?.health?.path).toBe('/h');
      }
    }
  });

  it.each(['', '.', '..', 'a b', 'a/b', 'a\0b', 'a\u001b[2Jb', 'x'.repeat(300)])(
    'of the name %j is none',
    (name) => {
      const { service, problems } = describeService({ ...source, service: name }, { listen: '80' });
      expect(service).toBeNull();
      expect(problems).toHaveLength(1);
    },
  );

  it('may set and remove other fields', () => {
    const settings = { listen: '80', 'http.request_headers.X-Team': 'shop' };
    const { service, problems } = describeService(source, settings);
    expect(problems).toEqual([]);
    expect(service!.http.headers.request.set).toEqual({ 'x-team': 'shop' });
  });

  it('listens on loopback where it says localhost', () => {
    const { service } = describeService(source, { listen: 'localhost:8080' });
    expect(service!.listen).toEqual([plainListen({ kind: 'tcp', host: '127.0.0.1', port: 8080 })]);
  });

  it('has settings that are looked at alone', () => {
    expect(isGoodSetting('health.path', '/h')).toBe(true);
    expect(isGoodSetting('health.path', 'h')).toBe(false);
    expect(isGoodSetting('http.request_headers.via', '')).toBe(false);
    expect(isGoodSetting('nonsense', 'x')).toBe(false);
  });

  it.each([
    [{ protocol: 'tcp' }, null],
    [{ protocol: 'tcp', 'health.interval': '1s' }, 'tcp'],
    [{ protocol: 'tcp', 'health.type': 'http' }, 'http'],
    [{ protocol: 'tcp', 'health.path': '/up' }, 'http'],
    [{ 'health.interval': '1s' }, 'http'],
    [{ protocol: 'udp' }, null],
    [{ protocol: 'udp', 'health.interval': '1s' }, 'udp'],
    [{ protocol: 'udp', 'health.query': 'example.com' }, 'dns'],
    [{ protocol: 'udp', 'health.send': 'x' }, 'send_expect'],
    [{ protocol: 'udp', 'health.path': '/up' }, 'http'],
    [{ 'health.type': 'tcp' }, 'tcp'],
  ])('%o is checked by %s', (settings, type) => {
    const { service } = describeService(source, { listen: '80', ...settings });
    expect(service?.health?.type ?? null).toBe(type);
  });

  it('takes lists and switches as the text of a tag', () => {
    const { service, problems } = describeService(source, {
      ...{ listen: '80', 'retry.on': 'connect, 502', 'http.forwarded': 'false' },
    });
    expect(problems).toEqual([]);
    expect(service!.retry.onStatus).toEqual(new Set([502]));
    expect(service!.http.forwarded).toBe(false);
  });

  it.each([
    [{ rewrite_host: 'endpoint' }, 'endpoint'],
    [{ rewrite_host: 'www.example.com' }, { name: 'www.example.com' }],
    [{ 'upstream.host': 'client', rewrite_host: 'endpoint' }, 'client'],
  ])('says by rewrite_host what endpoints get as Host: %o', (settings, host) => {
    const { service, problems } = describeService(source, { listen: '80', ...settings });
    expect(problems).toEqual([]);
    expect(service!.upstream.host).toEqual(host);
  });

  it('is told where rewrite_host is no host', () => {
    const { service, problems } = describeService(source, { listen: '80', rewrite_host: 'a b' });
    expect(problems.join()).toContain('upstream.host');
    expect(service!.upstream.host).toBe('client');
    expect(isGoodSetting('rewrite_host', 'a b')).toBe(false);
    expect(isGoodSetting('rewrite_host', 'endpoint')).toBe(true);
    expect(isGoodSetting('constructor', 'x')).toBe(false);
  });

  it('is told everything that is wrong with it', () => {
    const { problems } = describeService(source, { listen: 'x', balance: 'y', protocol: 'z' });
    expect(problems).toHaveLength(3);
  });

  it('cannot say where it comes from', () => {
    const settings = { listen: '80', 'from.service': 'other', 'from.registry': 'static' };
    const { service } = describeService(source, settings);
    expect(service?.from ?? onlySource(source)).toEqual(onlySource(source));
  });
});
