// A health check with plain settings; `parts` replaces whole keys.
import type { HealthCheck } from '../../src/model/service.ts';

export function makeCheck(parts: Partial<HealthCheck> = {}): HealthCheck {
  return {
    type: 'http',
    isUdp: false,
    question: { name: '', type: 'NS' },
    path: '/health',
    host: '',
    version: 'http1',
    grpcService: '',
    method: 'GET',
    headers: {},
    tls: null,
    port: 0,
    intervalMs: 1000,
    timeoutMs: 10_000,
    rise: 1,
    fall: 1,
    expectStatus: [{ from: 200, to: 399 }],
    send: '',
    expect: null,
    login: { user: '', database: '', password: '', passwordFile: '', isCleartextAllowed: false },
    sendProxy: 'off',
    wantsRole: false,
    initial: 'down',
    ...parts,
  };
}
