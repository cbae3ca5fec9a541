// Where DNS servers are, and which names may be asked for: `registries.dns`.
import { describe, expect, it } from 'vitest';
import { problemsOf, settingsOf } from '../support/config.ts';

describe('registries.dns', () => {
  it('has servers in fail-over order, and asks by TCP', () => {
    const { registries } = settingsOf({
      file: `registries: { dns: { address: [10.0.0.2:53, "[::1]:8600"] } }
services: { web: { listen: 80, from: { registry: dns, service: _web._tcp.example.com } } }`,
    });
    expect(registries.dns).toMatchObject({
      servers: [
        { address: '10.0.0.2', port: 53 },
        { address: '::1', port: 8600 },
      ],
      ...{ transport: 'tcp', timeoutMs: 2000 },
    });
  });

  it('is Consul on this machine by default, and a flag says where', () => {
    const own = settingsOf({ file: 'registries: { dns: {} }' }).registries.dns;
    expect(own!.servers).toEqual([{ address: '127.0.0.1', port: 8600 }]);
    const flags = { dns: ['10.0.0.2:53', '10.0.0.3:53'] };
    expect(settingsOf({ flags }).registries.dns!.servers).toHaveLength(2);
  });

  it.each([
    'web.service.consul',
    'web.service.consul.',
    'Web.example.com:8080',
    '_a._udp.x',
    'web',
  ])('asks for %s', (service) => {
    const file = `registries: { dns: {} }
services: { web: { listen: 80, from: { registry: dns, service: "${service}" } } }`;
    expect(problemsOf({ file })).toEqual([]);
  });

  it.each(['a..b', 'a b', 'web:0', 'web:70000', '10.0.0.1:80', '[::1]:80', `${'a'.repeat(64)}.b`])(
    'does not ask for %s',
    (service) => {
      const file = `registries: { dns: {} }
services: { web: { listen: 80, from: { registry: dns, service: "${service}" } } }`;
      expect(problemsOf({ file }).join()).toMatch(
        /services\.web\.from\.service: .*is no name of DNS: expected a name of SRV records, or name:port/,
      );
    },
  );

  it.each([
    ['address: 127.0.0.1', /host:port/],
    ['transport: tls', /tcp or udp/],
    ['timeout: 1ms', /100ms/],
  ])('%s is refused', (given, expected) => {
    expect(problemsOf({ file: `registries: { dns: { ${given} } }` }).join()).toMatch(expected);
  });
});
