// This process in the catalog: `registries.consul.register_self`.
import { describe, expect, it } from 'vitest';
import { needRestart } from '../../src/model/settings.ts';
import { problemsOf, settingsOf } from '../support/config.ts';

const selfOf = (given: Parameters<typeof settingsOf>[0]) =>
  settingsOf(given).registries.consul?.registerSelf ?? null;

describe('register_self', () => {
  it('is off unless it is asked for', () => {
    expect(selfOf({ file: 'registries: { consul: {} }' })).toBeNull();
    const file = 'registries: { consul: { register_self: { service: edge } } }';
    expect(selfOf({ file })).toBeNull();
  });

  it('is asked for by the file, a flag or a variable', () => {
    const file = 'registries: { consul: { register_self: { enabled: true, leave_wait: 0 } } }';
    expect(selfOf({ file })).toMatchObject({ service: 'upriver', leaveWaitMs: 0, check: 'http' });
    expect(selfOf({ flags: { 'register-self': 'edge' } })).toMatchObject({ service: 'edge' });
    expect(selfOf({ flags: { 'register-self': '' } })).toMatchObject({ service: 'upriver' });
    const env = { UPRIVER_REGISTER_SELF: 'true' };
    expect(selfOf({ env })).toMatchObject({ service: 'upriver', leaveWaitMs: 5000 });
  });

  it('leads no service in a circle', () => {
    const file = (from: string) =>
      `registries: { consul: { register_self: { enabled: true, service: edge } } }
services: { web: { listen: 80, from: ${from} }, edge: { listen: 81, from: { service: other } } }`;
    expect(problemsOf({ file: file('{ service: web }') })).toEqual([]);
    expect(problemsOf({ file: file('{ service: edge }') })).toEqual([
      expect.stringMatching(
        /upriver.yaml:2:.*services\.web\.from\.service: .*under which this process registers itself.*: expected another service/,
      ),
    ]);
    expect(problemsOf({ file: file('{ service: edge }').replace('enabled: true, ', '') })).toEqual(
      [],
    );
  });

  it.each([
    ['service: "a b"', /service.*expected a name that DNS takes/],
    ['address: "1 2"', /address.*expected an IP address or a host name/],
    ['check: tcp', /check.*http/],
    ['port: 70000', /port/],
  ])('%s is refused', (given, expected) => {
    const file = `registries: { consul: { register_self: { ${given} } } }`;
    expect(problemsOf({ file }).join()).toMatch(expected);
  });

  it('takes effect at the next start', () => {
    const [off, on] = ['false', 'true'].map((enabled) =>
      settingsOf({ file: `registries: { consul: { register_self: { enabled: ${enabled} } } }` }),
    );
    expect(needRestart(off!, on!)).toEqual(['registries.consul.register_self']);
    expect(needRestart(on!, on!)).toEqual([]);
  });
});
