import { expect, it } from 'vitest';
import { endpointNamed } from '../../src/cli/endpoint-name.ts';

const endpoint = (id: string, address: string, port: number) => ({
  ...{ id, address, port, state: 'up', reason: '', since: 0, weight: 1 },
  ...{ active: 0, requests: 0, failures: 0, check: null, comparison: null, stays: '' },
});
const service = {
  name: 'api',
  endpoints: [
    endpoint('node-1/api-1', '10.0.0.1', 80),
    endpoint('node-1/api-2', '10.0.0.1', 81),
    endpoint('node-2/api-2', '10.0.0.2', 81),
    endpoint('node-3/team/api', '2001:db8::1', 80),
  ],
};

it.each([
  ['node-1/api-2', 'node-1/api-2'],
  ['api-1', 'node-1/api-1'],
  ['team/api', 'node-3/team/api'],
  ['10.0.0.2:81', 'node-2/api-2'],
  ['[2001:db8::1]:80', 'node-3/team/api'],
])('%s names %s', (text, id) => {
  expect(endpointNamed(service, text)).toMatchObject({ id });
});

it('lists what there is where nothing or several are named', () => {
  expect(endpointNamed(service, 'api-9')).toBe(
    [
      "service api has no endpoint 'api-9'; it has:",
      '  node-1/api-1  (10.0.0.1:80)',
      '  node-1/api-2  (10.0.0.1:81)',
      '  node-2/api-2  (10.0.0.2:81)',
      '  node-3/team/api  (2001:db8::1:80)',
    ].join('\n'),
  );
  expect(endpointNamed(service, 'api-2')).toBe(
    [
      "'api-2' names 2 endpoints of service api:",
      '  node-1/api-2  (10.0.0.1:81)',
      '  node-2/api-2  (10.0.0.2:81)',
    ].join('\n'),
  );
  expect(endpointNamed({ name: 'api', endpoints: [] }, 'x')).toBe('service api has no endpoint');
});
