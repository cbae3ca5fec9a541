// Listeners as text, as mappings and as lists of both: what they mean, and what is said where they are
// wrong.
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { describeService } from '../../src/config/describe.ts';
import { jsonSchema } from '../../src/config/json-schema.ts';
import { type ListenTls, PLAIN_LISTEN } from '../../src/model/listener.ts';
import { load, problemsOf, serviceOf, settingsOf } from '../support/config.ts';
import { isValid } from '../support/json-schema.ts';
import { makeService, sourceOf } from '../support/service.ts';

const fileOf = (listen: string) => `services: { web: { listen: ${listen} } }`;
const listenOf = (listen: string) => serviceOf({ file: fileOf(listen) }).listen;
const port = (number: number) => {
  return { address: { kind: 'tcp', host: '', port: number }, ...PLAIN_LISTEN };
};

describe('a listener', () => {
  it.each([
    ['80', [port(80)]],
    ['":80"', [port(80)]],
    ['{ address: 80 }', [port(80)]],
    ['{ address: ":80", tls: false, accept_proxy: [] }', [port(80)]],
    ['[ 80, { address: ":81", hsts: "off" } ]', [port(80), port(81)]],
    ['[]', []],
  ])('is read from %s', (listen, expected) => {
    expect(listenOf(listen)).toEqual(expected);
    expect(isValid(jsonSchema(), parse(fileOf(listen)))).toBe(true);
  });

  it('is a unix socket with a path as long as the system takes it, in bytes', () => {
    expect(listenOf(`/${'x'.repeat(106)}`)).toHaveLength(1);
    expect(problemsOf({ file: fileOf(`/${'ä'.repeat(54)}`) })).toHaveLength(1);
  });

  it('of a router is written in the same ways', () => {
    const file = 'routers: [ { listen: [ 80, { address: ":81" } ], routes: [] } ]';
    expect(load({ file }).settings?.routers[0]?.listen).toEqual([port(80), port(81)]);
  });

  const place = (column: number, key: string) => `upriver.yaml:1:${column}: services.web.${key}`;
  it.each([
    ['{ adress: 80 }', `${place(30, 'listen.adress')}: unknown key; did you mean address?`],
    ['{ address: x }', `${place(39, 'listen.address')}: "x": expected a port`],
    ['[ 80, { address: x } ]', `${place(45, 'listen.1.address')}: "x": expected a port`],
    ['[ 80, x ]', `${place(34, 'listen.1')}: "x": expected a port`],
    ['true', `${place(28, 'listen')}: true: expected a port`],
    ['"/run/a\\0b"', `${place(28, 'listen')}: "/run/a\\u0000b": expected a port`],
    ['"/run/a\\nb"', `${place(28, 'listen')}: "/run/a\\nb": expected a port`],
    // The system has 108 bytes for it, with a 0 at the end.
    [`/${'x'.repeat(107)}`, `expected a port, address:port or the path of a unix socket`],
    ['{ address: 80, tls: maybe }', `${place(48, 'listen.tls')}: "maybe": expected true, false`],
    [
      '{ address: 80, tls: { min_version: "1.1" } }',
      `${place(63, 'listen.tls.min_version')}: "1.1": expected 1.2 or 1.3`,
    ],
    [
      '{ address: 80, tls: { certificate: [] } }',
      `${place(50, 'listen.tls.certificate')}: unknown key; did you mean certificates?`,
    ],
    ['{ address: 80, accept_proxy: x }', `${place(57, 'listen.accept_proxy')}: "x": expected an`],
    ['{ address: 80, hsts: soon }', `${place(49, 'listen.hsts')}: "soon": expected off, a dur`],
    ['{ address: 80, hsts: { max_age: x } }', `${place(60, 'listen.hsts.max_age')}: "x": expected`],
  ])('that is wrong is named: %s', (listen, message) => {
    const problems = problemsOf({ file: fileOf(listen) });
    expect(problems.join('\n')).toContain(message);
    expect(isValid(jsonSchema(), parse(fileOf(listen)))).toBe(false);
  });

  it('passes TLS on for a router, whose routes have names', () => {
    const router = (listen: string, routes: string) =>
      `services: { a: { protocol: tcp }, b: {} }\nrouters: [ { listen: ${listen}, routes: [ ${routes} ] } ]`;
    const pass = '{ address: 443, tls: pass }';
    const good =
      '{ sni: DB.example.com, service: a }, { sni: "*", alpn: h2, service: b }, { service: a }';
    expect(settingsOf({ file: router(pass, good) }).routers[0]).toMatchObject({
      routes: [],
      sniRoutes: [
        { sni: 'db.example.com', alpn: [], service: 'a' },
        { sni: '*', alpn: ['h2'], service: 'b' },
        { sni: '', alpn: [], service: 'a' },
      ],
    });
    const told = (file: string) => problemsOf({ file }).join('\n');
    expect(told(router('443', '{ sni: a.test, service: b }'))).toContain('listens with tls: pass');
    expect(told(router(pass, '{ sni: a.test, path: /x, service: a }'))).toContain('is about HTTP');
    expect(told(router(pass, '{ sni: a.*.test, service: a }'))).toContain('expected a host name');
    expect(told(router(pass, '{ alpn: h2, service: a }'))).toContain('needs sni');
    expect(told(router(`[ ${pass}, 80 ]`, good))).toContain('passes TLS on at another address');
    expect(told(fileOf('{ address: 80, tls: pass }'))).toContain('tls: pass is for routers');
    const twice = '{ sni: a.test, service: a }, { sni: A.test, service: b }';
    expect(told(router(pass, twice))).toContain('there is a route for a.test already');
  });

  it('is named with its own address where two want it', () => {
    const file = 'services: { a: { listen: 80 }, b: { listen: { address: ":80" } } }';
    expect(problemsOf({ file })[0]).toContain(':80 is already the listener of service a');
  });
});

const pair = '{ cert_file: /c.pem, key_file: /c.key }';
const shared = `tls: { certificates: [ ${pair}, { dir: /certs } ], min_version: "1.3" }\n`;

describe('a listener with TLS', () => {
  it('has what the section tls says, and its own besides', () => {
    const own = '{ address: 443, tls: { client_auth: require, client_ca_file: /ca.pem } }';
    const [plain, mine] = serviceOf({
      file: `${shared}services: { web: { listen: [ { address: 444, tls: true }, ${own} ] } }`,
    }).listen;
    const certificates = [
      { kind: 'pair', certFile: '/c.pem', keyFile: '/c.key' },
      { kind: 'folder', dir: '/certs' },
    ];
    const all = { certificates, minVersion: '1.3', clientAuth: 'off', clientCaFile: '' };
    expect(plain!.tls).toEqual(all);
    expect(mine!.tls).toEqual({ ...all, clientAuth: 'require', clientCaFile: '/ca.pem' });
  });

  it('is where a plain one beside it redirects to', () => {
    const portOf = (...listen: string[]) =>
      serviceOf({
        file: `${shared}services: { web: { listen: [ ${listen.join()} ] } }`,
      }).listen.find(({ redirectHttps }) => redirectHttps > 0)?.redirectHttps;
    const redirect = '{ address: 80, redirect_https: true }';
    expect(portOf(redirect)).toBe(443);
    expect(portOf(redirect, '{ address: 8443, tls: true }')).toBe(8443);
    expect(portOf(redirect, '{ address: 8443, tls: true }', '{ address: 443, tls: true }')).toBe(
      443,
    );
  });

  it('has HSTS as a duration or a mapping', () => {
    const hstsOf = (hsts: string) =>
      serviceOf({ file: `${shared}${fileOf(`{ address: 443, tls: true, hsts: ${hsts} }`)}` })
        .listen[0]!.hsts;
    const plain = { maxAgeSeconds: 86_400, includeSubdomains: false, preload: false };
    expect(hstsOf('1d')).toEqual(plain);
    expect(hstsOf('{ max_age: 1d, preload: true, include_subdomains: true }')).toEqual({
      ...plain,
      ...{ includeSubdomains: true, preload: true },
    });
  });

  it.each([
    ['{ address: 443, tls: true }', 'tls needs a certificate: expected tls.certificates, or --tls'],
    [
      '{ address: 443, tls: { certificates: [ { cert_file: /a } ] } }',
      'tls.certificates: expected cert_file and key_file, or dir alone, or acme',
    ],
    [
      `{ address: 443, tls: { certificates: [ ${pair} ], client_auth: request } }`,
      'tls.client_auth needs tls.client_ca_file',
    ],
    [
      `{ address: 443, redirect_https: true, tls: { certificates: [ ${pair} ] } }`,
      'redirect_https is for a listener without tls',
    ],
    ['{ address: 80, hsts: 1d }', 'hsts is for a listener with tls'],
  ])('is refused as %s', (listen, message) => {
    expect(problemsOf({ file: fileOf(listen) }).join('\n')).toContain(message);
  });

  it('is not asked for HTTP where it serves TCP', () => {
    const file =
      'services: { a: { protocol: tcp, listen: { address: 80, redirect_https: true } } }';
    expect(problemsOf({ file }).join()).toContain('redirect_https is about HTTP');
  });

  it('has certificates that are named whole', () => {
    const problems = problemsOf({ file: 'tls: { certificates: [ { key_file: /a, dir: /b } ] }' });
    expect(problems).toEqual([
      'upriver.yaml:1:24: tls.certificates.0: expected cert_file and key_file, or dir alone, or acme',
    ]);
    const asked = problemsOf({ file: 'tls: { client_auth: request }' });
    expect(asked.join()).toContain('tls.client_ca_file: is missing: client_auth needs the CA');
  });
});

describe('a listener on the command line', () => {
  const ofFlags = (...service: string[]) => problemsOf({ flags: { service } });
  const cert = { 'tls-cert': ['/a.pem'], 'tls-key': ['/a.key'] };

  it('has its keys beside the port', () => {
    const { listen } = serviceOf({ flags: { service: ['web=81,http2=true,balance=p2c'] } });
    expect(listen).toEqual([{ ...port(81), http2: true }]);
    const flags = { service: ['web=443,tls=true,hsts=1d'], ...cert };
    const [spec] = serviceOf({ flags }).listen;
    expect(spec).toMatchObject({
      address: { port: 443 },
      tls: { certificates: [{ kind: 'pair', certFile: '/a.pem', keyFile: '/a.key' }] },
      hsts: { maxAgeSeconds: 86_400 },
    });
    expect(ofFlags('web=443,tls=true')[0]).toContain(':443: tls needs a certificate');
    expect(serviceOf({ flags: { service: ['web=81,tls=false,hsts=off'] } }).listen).toEqual([
      port(81),
    ]);
  });

  it('has certificates of flags, or of the environment', () => {
    const service = ['web=443,tls=true'];
    const filesOf = (given: Parameters<typeof serviceOf>[0]) =>
      (serviceOf(given).listen[0]!.tls as ListenTls).certificates.map((one) => Object.values(one));
    expect(
      filesOf({ flags: { service, 'tls-cert': ['/a', '/b'], 'tls-key': ['/x', '/y'] } }),
    ).toEqual([
      ['pair', '/a', '/x'],
      ['pair', '/b', '/y'],
    ]);
    expect(filesOf({ flags: { service, 'tls-cert': ['/a'] } })).toEqual([['pair', '/a', '/a']]);
    const env = { UPRIVER_TLS_CERT: '/a,/b', UPRIVER_TLS_KEY: '/x,/y' };
    expect(filesOf({ flags: { service }, env })).toHaveLength(2);
    expect(
      problemsOf({ flags: { service, 'tls-cert': ['/a', '/b'], 'tls-key': ['/x'] } })[0],
    ).toContain('--tls-cert: 2 certificates and 1 keys: expected a key for each certificate');
  });

  it('without a port is on the usual one', () => {
    expect(serviceOf({ flags: { service: ['web,tls=false'] } }).listen).toEqual([port(80)]);
    const { listen } = serviceOf({ flags: { service: ['web,tls=true'], ...cert } });
    expect(listen[0]!.address).toMatchObject({ port: 443 });
  });

  it('adds to a mapping of the file', () => {
    const file = fileOf('{ address: 88 }');
    const flags = { service: ['web,redirect_https=true'] };
    expect(serviceOf({ file, flags }).listen[0]).toMatchObject({
      ...{ address: { port: 88 }, redirectHttps: 443 },
    });
  });
});

describe('a tag', () => {
  it('says an address alone', () => {
    const source = sourceOf(makeService({ name: 'api' }));
    for (const settings of [{ 'listen.tls': 'true' }, { 'listen.address': '80' }]) {
      const { service, problems } = describeService(source, settings);
      expect(service).toBeNull();
      expect(problems[0]).toMatch(/^tag listen/);
    }
  });
});

describe('the overlay', () => {
  const file = `registries: { consul: {} }\n${fileOf('{ address: 8080 }')}`;
  const web = (listen: string) => problemsOf({ file, kv: fileOf(listen) });

  it('may add listeners as mappings', () => {
    expect(web('[ 8080, { address: 8081, tls: false } ]')).toEqual([]);
  });

  it.each([
    ['{ address: /run/a.sock }', 'must not be a unix socket'],
    ['{ address: 8081, tls: { certificates: [] } }', 'must not name certificates'],
    ['{ address: 8081, accept_proxy: 10.0.0.0/8 }', 'must not name certificates or trusted'],
  ])('must not say %s', (listen, message) => {
    expect(web(listen)[0]).toContain(message);
  });

  it('does not change what is spoken at an address of the file', () => {
    const problems = web('[ { address: 8080, redirect_https: true } ]');
    expect(problems.join('\n')).toContain(':8080 is in the configuration already');
  });
});
