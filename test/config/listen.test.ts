// Listeners as text, as mappings and as lists of both: what they mean, and what is said where they are
// wrong.
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { describeService } from '../../src/config/describe.ts';
import { jsonSchema } from '../../src/config/json-schema.ts';
import { PLAIN_LISTEN } from '../../src/model/listener.ts';
import { load, problemsOf, serviceOf } from '../support/config.ts';
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

  it.each([
    ['tls', 'tls: true'],
    ['tls', 'tls: { min_version: "1.3" }'],
    ['tls: pass', 'tls: pass'],
    ['accept_proxy', 'accept_proxy: 10.0.0.0/8'],
    ['redirect_https', 'redirect_https: true'],
    ['hsts', 'hsts: 1d'],
  ])('is refused with %s, which is not there yet', (key, setting) => {
    const listen = `{ address: 80, ${setting} }`;
    expect(problemsOf({ file: fileOf(listen) })).toEqual([
      `${place(28, 'listen')}: :80: ${key} is not available in this version`,
    ]);
    expect(isValid(jsonSchema(), parse(fileOf(listen)))).toBe(true);
  });

  it('is named with its own address where two want it', () => {
    const file = 'services: { a: { listen: 80 }, b: { listen: { address: ":80" } } }';
    expect(problemsOf({ file })[0]).toContain(':80 is already the listener of service a');
  });
});

describe('a listener on the command line', () => {
  const ofFlags = (...service: string[]) => problemsOf({ flags: { service } });

  it('has its keys beside the port', () => {
    expect(ofFlags('web=443,tls=true')[0]).toContain(':443: tls is not available');
    const { listen } = serviceOf({ flags: { service: ['web=81,http2=true,balance=p2c'] } });
    expect(listen).toEqual([{ ...port(81), http2: true }]);
    expect(serviceOf({ flags: { service: ['web=81,tls=false,hsts=off'] } }).listen).toEqual([
      port(81),
    ]);
  });

  it('without a port is on the usual one', () => {
    expect(serviceOf({ flags: { service: ['web,tls=false'] } }).listen).toEqual([port(80)]);
    expect(ofFlags('web,tls=true')[0]).toContain(':443: tls');
  });

  it('adds to a mapping of the file', () => {
    const file = fileOf('{ address: 88 }');
    const flags = { service: ['web,redirect_https=true'] };
    expect(problemsOf({ file, flags })[0]).toContain(':88: redirect_https');
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
});
