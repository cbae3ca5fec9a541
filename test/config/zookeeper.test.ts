// Where members of ZooKeeper are, and what may be asked of them: `registries.zookeeper`.
import { describe, expect, it } from 'vitest';
import { problemsOf, settingsOf } from '../support/config.ts';

const settings = (given: string) =>
  settingsOf({ file: `registries: { zookeeper: ${given} }` }).registries.zookeeper!;

describe('registries.zookeeper', () => {
  it('is on this machine by default', () => {
    expect(settings('{}')).toMatchObject({
      servers: [{ address: '127.0.0.1', port: 2181 }],
      ...{ path: '/services', selfDescribed: true, tls: null, sessionTimeoutMs: 10_000 },
    });
  });

  it("takes ZooKeeper's connect string, with its chroot", () => {
    const flags = { zookeeper: ['zk1:2181,zk2,[::1]:2182/airbnb//nerve/'] };
    expect(settingsOf({ flags }).registries.zookeeper).toMatchObject({
      servers: [
        { address: 'zk1', port: 2181 },
        { address: 'zk2', port: 2181 },
        { address: '::1', port: 2182 },
      ],
      path: '/airbnb/nerve/services',
    });
    expect(settings('{ address: "a:1,b:2", path: / }')).toMatchObject({
      ...{ path: '/', servers: [{ port: 1 }, { port: 2 }] },
    });
  });

  it('speaks TLS where that is said, or a certificate is given', () => {
    expect(settings('{ tls: { enabled: true } }').tls).toMatchObject({ verify: true });
    expect(settings('{ tls: { ca_file: ca.pem } }').tls).toMatchObject({ caFile: 'ca.pem' });
  });

  it.each([
    ['address: "zk:0"', /address.*host:port/],
    ['address: "zk:1/a/../b"', /address.*host:port/],
    ['path: services', /path.*expected a path of znodes/],
    ['path: /a/../b', /path.*expected a path of znodes/],
    ['session_timeout: 1ms', /session_timeout.*1s at least/],
  ])('%s is refused', (given, expected) => {
    expect(problemsOf({ file: `registries: { zookeeper: { ${given} } }` }).join()).toMatch(
      expected,
    );
  });

  it('is asked for names that can be znodes', () => {
    const file = (service: string) =>
      `registries: { zookeeper: {} }
services: { web: { listen: 80, from: { registry: zookeeper, service: "${service}" } } }`;
    for (const service of ['web', '/web/services/', 'a b']) {
      expect(problemsOf({ file: file(service) })).toEqual([]);
    }
    for (const service of ['/', '../web', 'a/./b', 'a\\0b']) {
      expect(problemsOf({ file: file(service) }).join()).toMatch(/is no path of znodes/);
    }
  });
});
