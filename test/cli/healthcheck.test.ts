import { expect, it } from 'vitest';
import { isRegistrar } from '../../src/cli/healthcheck.ts';

const started = (...args: string[]) => args.map((arg) => `${arg}\0`).join('');

it.each([
  ['/usr/local/bin/node', '--disable-sigusr1', '/app/bin/upriver.mjs', 'register', 'consul:'],
  ['/sbin/docker-init', '--', '/usr/local/bin/node', '/app/bin/upriver.mjs', 'register'],
  ['upriver', 'register', '-internal'],
])('a registrar is one by what it was started with: %s %s %s', (...args) => {
  expect(isRegistrar(started(...args))).toBe(true);
});

it.each([
  ['/usr/local/bin/node', '/app/bin/upriver.mjs', 'run', '--docker', '--register'],
  ['/usr/local/bin/node', '/app/bin/upriver.mjs', 'run', '--config', 'register'],
  ['/usr/local/bin/node', '/app/bin/other-upriver', 'register'],
  ['/sbin/init'],
  [],
])('anything else is none: %s %s %s', (...args) => {
  expect(isRegistrar(started(...args))).toBe(false);
});
