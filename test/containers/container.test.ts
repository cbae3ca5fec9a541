import { describe, expect, it } from 'vitest';
import { containerOf, listedOf, signalOf } from '../../src/containers/container.ts';
import { eventOf } from '../../src/containers/event.ts';
import { BOUNDS } from '../../src/model/bounds.ts';
import { container, inspection } from '../support/containers.ts';

describe('containerOf', () => {
  it('reads what Docker says', () => {
    const read = container({
      env: ['A=1'],
      labels: { b: '2' },
      published: { '80/tcp': '32768', '81/udp': '' },
      health: 'unhealthy',
      healthOutput: 'no\n  route ',
      stopSignal: 'SIGQUIT',
    });
    expect(read).toMatchObject({ name: 'web', image: 'whoami', phase: 'running', stopSignal: 3 });
    expect(read.ports.get('80/tcp')![0]).toEqual({ hostIp: '0.0.0.0', hostPort: 32768 });
    expect(read.ports.get('81/udp')).toEqual([]);
    expect([read.health, read.healthText]).toEqual(['unhealthy', 'no route']);
    expect(read.startedNs).toBe(1795287052066155471n);
  });

  it('takes the address beside the networks where there are none', () => {
    const json = inspection({ networks: {} });
    const settings = { ...(json.NetworkSettings as object), IPAddress: '172.17.0.9' };
    expect(containerOf({ ...json, NetworkSettings: settings })!.networks[0]).toMatchObject({
      name: 'bridge',
      address: '172.17.0.9',
    });
  });

  it.each([
    ['running', 'running'],
    ['paused', 'paused'],
    ['restarting', 'gone'],
    ['exited', 'gone'],
    ['created', 'gone'],
    ['dead', 'gone'],
    ['stopping', 'gone'],
  ])('a container that is %s is %s', (status, phase) =>
    expect(container({ status }).phase).toBe(phase),
  );

  it('takes no container for what is none, and no harm from odd fields', () => {
    for (const body of [null, 1, [], {}, { Id: 5 }, { Id: '../../etc' }]) {
      expect(containerOf(body)).toBeNull();
    }
    const odd = { Config: 3, State: [], NetworkSettings: null, HostConfig: 'x', Name: {} };
    expect(containerOf({ Id: 'abcdef012345', ...odd })).toMatchObject({ phase: 'gone', name: '' });
    const ports = { '80/tcp': [null, { HostPort: '99999' }, { HostPort: {} }], 'x/tcp': [], a: 1 };
    const read = containerOf({ Id: 'abcdef012345', NetworkSettings: { Ports: ports } })!;
    expect([...read.ports]).toEqual([['80/tcp', []]]);
  });

  it('takes no more labels, variables, ports and characters of them than there may be', () => {
    const [many, ports] = [BOUNDS.containerLabels.max + 1, BOUNDS.containerServices.max + 1];
    const long = 'x'.repeat(BOUNDS.containerText.max + 1);
    const of = <T>(count: number, make: (i: number) => T) =>
      Array.from({ length: count }, (_, i) => make(i));
    const read = containerOf({
      Id: 'abcdef012345',
      Config: {
        Env: [`LONG=${long}`, ...of(many, (i) => `V${i}=1`)],
        Labels: { long, [long]: '', ...Object.fromEntries(of(many, (i) => [`l${i}`, ''])) },
        ExposedPorts: Object.fromEntries(of(ports, (i) => [`${i + 1}/tcp`, {}])),
      },
      NetworkSettings: { Ports: Object.fromEntries(of(ports, (i) => [`${i + 1}/tcp`, []])) },
    })!;
    expect([read.env.length, read.labels.size]).toEqual([many - 1, many - 1]);
    expect([read.exposed.length, read.ports.size]).toEqual([ports - 1, ports - 1]);
    expect([read.env[0], [...read.labels.keys()][0]]).toEqual(['V0=1', 'l0']);
  });

  it('never began, where Go says year 1', () => {
    expect(container({ startedAt: '0001-01-01T00:00:00Z' }).startedNs).toBe(0n);
    expect(container({ startedAt: '2026-11-21T19:50:52.5+01:00' }).startedNs).toBe(
      1795287052500000000n,
    );
  });
});

it('reads signals by name and number', () => {
  const read = ['SIGTERM', 'TERM', 'sigquit', '15', 9, 'SIGRTMIN+3', 'SIGUSR2'].map(signalOf);
  expect(read).toEqual([15, 15, 3, 15, 9, 37, 12]);
  expect(['', 'NO', null, {}].map(signalOf)).toEqual([0, 0, 0, 0]);
});

it('sees health and state in a list', () => {
  const rows = [
    { Id: 'a', State: 'running', Status: 'Up 3 seconds (health: starting)' },
    { Id: 'b', State: 'running', Status: 'Up 3 seconds (unhealthy)' },
    { Id: 'c', State: 'paused', Status: 'Up 3 seconds (Paused)' },
    { State: 'running' },
    null,
  ];
  expect(listedOf(rows)).toEqual([
    { id: 'a', summary: 'running starting' },
    { id: 'b', summary: 'running unhealthy' },
    { id: 'c', summary: 'paused Paused' },
  ]);
  expect(listedOf({ message: 'no' })).toEqual([]);
});

describe('eventOf', () => {
  const id = 'abcdef012345';
  const line = (Action: string, Attributes: object = {}, Type = 'container') =>
    Buffer.from(
      JSON.stringify({
        Type,
        Action,
        Actor: { ID: id, Attributes },
        timeNano: 1795287056293047000,
      }),
    );

  it.each([
    ['Docker', line('die', { exitCode: '143' })],
    ['Podman', line('died', { containerExitCode: '143' })],
  ])('knows the end of a container of %s', (_, text) => {
    expect(eventOf(Buffer.from(text))).toMatchObject({ id, kind: 'die', exitCode: 143 });
  });

  it('knows the signal of a kill', () => {
    expect(eventOf(line('kill', { signal: '15' }))).toMatchObject({ kind: 'kill', signal: 15 });
    expect(eventOf(line('kill'))).toMatchObject({ kind: 'kill', signal: 0 });
  });

  it('knows changes, and networks by their container', () => {
    expect(eventOf(line('health_status: unhealthy'))).toMatchObject({ kind: 'change' });
    expect(eventOf(line('connect', { container: 'fedcba987654' }, 'network'))).toMatchObject({
      id: 'fedcba987654',
      kind: 'change',
    });
  });

  it.each([
    line('exec_start: /bin/sh -c true'),
    line('top'),
    line('attach'),
    line('connect', {}, 'network'),
    line('start', {}, 'image'),
    '',
    'null',
    '{"Type":"container"',
    '[]',
    '{"Type":"container","Action":5,"Actor":null}',
  ])('%s is none', (text) => expect(eventOf(Buffer.from(text))).toBeNull());
});
