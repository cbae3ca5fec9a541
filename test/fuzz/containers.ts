// Answers of a container engine: one container, and its stream of events.
import { ok } from 'node:assert/strict';
import { containerOf, listedOf } from '../../src/containers/container.ts';
import { servicesOf } from '../../src/containers/container-services.ts';
import { eventOf } from '../../src/containers/event.ts';
import { translate } from '../../src/discovery/docker/translate.ts';
import { consulRegistration } from '../../src/registrar/consul-registration.ts';
import { desiredOf } from '../../src/registrar/desired.ts';
import { dockerRegisterServices } from '../../src/registrar/docker-register.ts';
import { inspection, rules } from '../support/containers.ts';
import { dockerSettings } from '../support/docker.ts';
import { event, idOf } from '../support/scripted-engine.ts';
import type { FuzzTarget } from './target.ts';

const usual = inspection({
  ...{ published: { '80/tcp': '32768', '53/udp': '10.0.0.1:53' }, health: 'unhealthy' },
  env: [
    ...['SERVICE_NAME=web', 'SERVICE_80_TAGS=a\\,b,c', 'SERVICE_CHECK_HTTP=/up', 'SERVICE_X=y'],
    ...['VIRTUAL_HOST=a.test,*.b.test', 'VIRTUAL_PATH=/x', 'VIRTUAL_DEST=/'],
  ],
  labels: { 'upriver.listen': '8000', 'upriver.80.weight': '5', SERVICE_IGNORE: '' },
});
const MORSELS = [
  ...['"Ports":', '"Env":', '"SERVICE_"', '"SERVICE_80_"', '"VIRTUAL_HOST="', 'null', '[]', '{}'],
  ...['"running"', '"Networks":', '\\u0000', '80/tcp', '__proto__'],
];

function parsed(input: string): unknown {
  try {
    return JSON.parse(input);
  } catch {
    return null;
  }
}

const container: FuzzTarget = {
  name: 'container',
  seeds: [usual, inspection({ networkMode: 'host', networks: {} })].map((one) =>
    JSON.stringify(one),
  ),
  morsels: MORSELS,
  check: (input) => {
    const json = parsed(input);
    ok(
      listedOf(json).every(({ id }) => id !== ''),
      'listed without an id',
    );
    const read = containerOf(json);
    if (read === null) return;
    const known = { container: read, json, stopping: '' };
    const services = [...servicesOf(read, rules()), ...dockerRegisterServices(read, '10.0.0.5')];
    for (const service of services) {
      ok(service.port >= 1 && service.port <= 65_535, `port ${service.port}`);
      const { Meta } = consulRegistration(service);
      ok(Object.keys(Meta).length <= 64, 'much Meta');
    }
    ok(desiredOf(known, services).length === services.length, 'not every service');
    const { instances } = translate(known, {
      ...{ settings: dockerSettings(), hostAddress: '127.0.0.1', isInside: false },
      ...{ containerOf: () => null, driverOf: () => '' },
    });
    for (const { endpoint } of instances) {
      ok(endpoint.port >= 1 && endpoint.port <= 65_535, `port ${endpoint.port}`);
      ok(endpoint.weight >= 0 && endpoint.weight <= 1_000_000, `weight ${endpoint.weight}`);
      ok(endpoint.statusText.length < 500, 'a long status');
      ok(endpoint.address !== '', 'no address');
    }
  },
};

const events: FuzzTarget = {
  name: 'container-event',
  seeds: [
    event(idOf(1), 'die', { exitCode: '137' }),
    event(idOf(1), 'kill', { signal: '15' }),
    event(idOf(1), 'health_status: healthy'),
  ].map((one) => JSON.stringify(one)),
  morsels: ['"Action":', '"died"', '"status":', '"signal":', '"timeNano":', '1e400', 'null', '{}'],
  check: (input) => {
    const read = eventOf(Buffer.from(input));
    if (read === null) return;
    ok(/^[0-9a-f]{12,128}$/.test(read.id), 'an odd id');
    ok(Number.isInteger(read.signal) && Number.isInteger(read.exitCode), 'no number');
  },
};

export const containerTargets: readonly FuzzTarget[] = [container, events];
