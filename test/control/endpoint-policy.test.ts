import { describe, expect, it } from 'vitest';
import { EndpointPolicy } from '../../src/control/endpoint-policy.ts';
import { parseListen } from '../../src/model/listener.ts';
import { consulSettings } from '../support/discovery.ts';
import { makeListener, makeService } from '../support/service.ts';

const DENIED = ['169.254.0.0/16', 'fe80::/10', '224.0.0.0/4', 'ff00::/8'];

function make(
  stats: string | null,
  listens: readonly string[] = [],
  denied: readonly string[] = [],
) {
  let local = ['127.0.0.1', '10.0.0.5', '::1', '2001:db8::5'];
  const policy = new EndpointPolicy({ localAddresses: () => local });
  const listeners = listens.map((text) => makeListener(makeService(), parseListen(text)!));
  const names = new Map([['me.example', ['10.0.0.5']]]);
  policy.setOwn(stats === null ? null : parseListen(stats), listeners, names);
  policy.deny({ consul: consulSettings('http://127.0.0.1:8500', { endpointDeny: denied }) });
  const refusal = (address: string, port: number, checkPort = 0, registry = 'consul') =>
    policy.refusal([registry], { address, port }, checkPort);
  const move = (addresses: string[]) => {
    local = addresses;
  };
  return { policy, refusal, move };
}

describe('an endpoint', () => {
  // Every way to say this host.
  it.each([
    '127.0.0.1',
    '127.9.9.9',
    '::1',
    '0.0.0.0',
    '::',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:0.0.0.0',
    '0:0:0:0:0:0:0:1',
    '10.0.0.5',
    '::ffff:10.0.0.5',
    '2001:db8::5',
    '2001:DB8:0::0:5',
  ])('is never our own stats port or listener: %s', (address) => {
    const { refusal } = make(':1936', [':8000']);
    expect(refusal(address, 1936)).toBe('refused: it is the stats port of Upriver itself');
    expect(refusal(address, 8000)).toBe('refused: it is the listener :8000 of Upriver itself');
    expect(refusal(address, 8001)).toBe('');
    // Neither is the port of its check.
    expect(refusal(address, 8001, 1936)).toBe('refused: it is the stats port of Upriver itself');
    expect(refusal(address, 1936, 0, 'static')).not.toBe('');
  });

  it('may be on the same port of another machine, or of another address', () => {
    const { refusal } = make('127.0.0.1:1936', ['10.0.0.5:8000', 'me.example:9000']);
    expect(refusal('10.0.0.6', 8000)).toBe('');
    expect(refusal('127.0.0.1', 8000)).toBe('');
    expect(refusal('10.0.0.5', 1936)).toBe('');
    expect(refusal('127.0.0.1', 1936)).not.toBe('');
    expect(refusal('0.0.0.0', 1936)).not.toBe('');
    expect(refusal('10.0.0.5', 8000)).not.toBe('');
    expect(refusal('10.0.0.5', 9000)).not.toBe('');
  });

  it('is another place by UDP than by TCP', () => {
    const policy = new EndpointPolicy({ localAddresses: () => ['127.0.0.1'] });
    const udp = makeListener(makeService({ protocol: 'udp' }), { kind: 'udp', host: '', port: 53 });
    policy.setOwn(null, [udp, makeListener(makeService(), parseListen(':80')!)], new Map());
    const at = (port: number, checkPort: number, service: 'tcp' | 'udp', check: 'tcp' | 'udp') =>
      policy.refusal(['static'], { address: '127.0.0.1', port }, checkPort, { service, check });
    const own = 'refused: it is the listener :53/udp of Upriver itself';
    expect(at(53, 0, 'udp', 'udp')).toBe(own);
    expect(at(53, 0, 'tcp', 'tcp')).toBe('');
    expect(at(80, 0, 'udp', 'udp')).toBe('');
    // Its check goes where its datagrams do not.
    expect(at(80, 0, 'udp', 'tcp')).toContain('the listener :80 of Upriver');
    expect(at(5353, 80, 'udp', 'tcp')).toContain('the listener :80 of Upriver');
    expect(at(5353, 53, 'udp', 'udp')).toBe(own);
    expect(at(5353, 53, 'udp', 'tcp')).toBe('');
  });

  it('is refused at an address that this machine got later', () => {
    const { refusal, policy, move } = make(':1936');
    expect(refusal('10.0.0.9', 1936)).toBe('');
    move(['10.0.0.9']);
    expect(policy.readLocal()).toBe(true);
    expect(policy.readLocal()).toBe(false);
    expect(refusal('10.0.0.9', 1936)).not.toBe('');
  });

  it.each([
    '169.254.169.254',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    'fe80::1%eth0',
    '224.0.0.1',
    'ff02::1',
  ])('is not where the registry may lead to: %s', (address) => {
    const { refusal } = make(null, [], DENIED);
    expect(refusal(address, 80)).toBe(
      `refused: ${address} is denied by registries.consul.endpoint_deny`,
    );
    // What the operator writes down is his.
    expect(refusal(address, 80, 0, 'static')).toBe('');
  });

  it('is not on loopback where that is denied, in whatever spelling', () => {
    const { refusal } = make(null, [], ['127.0.0.0/8', '::1']);
    for (const address of ['127.0.0.1', '0.0.0.0', '::', '::1', '::ffff:127.0.0.1']) {
      expect(refusal(address, 80)).not.toBe('');
    }
    expect(refusal('10.0.0.5', 80)).toBe('');
  });
});
