import { describe, expect, it } from 'vitest';
import { formatHost, formatHostPort } from '../../src/base/host-text.ts';

describe('a host as text', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1', '10.0.0.1:80'],
    ['::1', '[::1]', '[::1]:80'],
    ['fe80::1%eth0', '[fe80::1%eth0]', '[fe80::1%eth0]:80'],
    ['web.example', 'web.example', 'web.example:80'],
    ['', '', ':80'],
  ])('%j is %j, and %j with a port', (host, alone, withPort) => {
    expect(formatHost(host)).toBe(alone);
    expect(formatHostPort(host, 80)).toBe(withPort);
  });
});
