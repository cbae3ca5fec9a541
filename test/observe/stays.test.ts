import { describe, expect, it } from 'vitest';
import type { Compared, EndpointView } from '../../src/control/view.ts';
import type { Service } from '../../src/model/service.ts';
import { whyItStays } from '../../src/observe/stays.ts';
import { makePassive, makeService } from '../support/service.ts';
import { makeEndpointView } from '../support/stats-port.ts';

const NOW_MS = 1_000_000;
const successRate = { windowMs: 60_000, minRequests: 10, minEndpoints: 2, excess: 0.01 };
const comparing = makeService({ passive: makePassive({ successRate }) });
const compared = (parts: Partial<Compared>): Compared => ({
  own: { requests: 10, faults: 10 },
  peers: { requests: 30, faults: 0 },
  ...{ peerCount: 3, spanMs: 1000, evidence: 0, evidenceMin: 9 },
  ...parts,
});

interface Given {
  readonly endpoint?: Partial<EndpointView>;
  readonly service?: Service;
  readonly isPanicking?: boolean;
  readonly compared?: Partial<Compared> | null;
}

function stays({ endpoint, service = comparing, isPanicking = false, ...given }: Given): string {
  return whyItStays(makeEndpointView('a', endpoint), {
    ...{ service, isPanicking, nowMs: NOW_MS },
    compared: given.compared === null ? null : compared(given.compared ?? {}),
  });
}

describe('why an endpoint that fails gets requests', () => {
  const stay = { text: '9 of 9 failed', why: 'it is the only endpoint', atMs: NOW_MS };
  const hashing = makeService({ balance: { policy: 'hash', hash: { on: 'source', name: '' } } });
  const sparing = { state: 'ejected', isSpare: true } as const;
  const spreading = makeService({ panic: { threshold: 0.25, spread: 'all' } });
  it.each<[string, Given, string]>([
    ['nothing failed', { compared: null }, ''],
    ['next to nothing failed', { compared: { own: { requests: 1000, faults: 1 } } }, ''],
    [
      'policy does not let it go',
      { endpoint: { stay: { ...stay, untilMs: NOW_MS + 1 } } },
      '9 of 9 failed; not ejected: it is the only endpoint',
    ],
    [
      'that was a while ago',
      { endpoint: { stay: { ...stay, untilMs: NOW_MS } }, compared: null },
      '',
    ],
    [
      'it is not clear yet',
      { compared: { evidence: 4.7 } },
      'evidence of 10^4 that it does worse than its peers, ejected from 10^9 on',
    ],
    [
      'all fail alike',
      { compared: { peers: { requests: 30, faults: 29 } } },
      'its peers do not do much better: 29 of 30 failed',
    ],
    [
      'it is alone',
      { compared: { peers: { requests: 0, faults: 0 }, peerCount: 0 } },
      'no other endpoint got requests to compare it with',
    ],
    [
      'nobody compares',
      { service: makeService() },
      'not compared with its peers: passive.success_rate is off',
    ],
    [
      'nobody compares with hashing',
      { service: hashing },
      "not compared with its peers: with balance hash one client's errors are one endpoint's (passive.success_rate.enabled: true compares)",
    ],
    [
      'it is ejected, but the service panics',
      { endpoint: sparing, isPanicking: true },
      'gets what the others cannot take: panic, fewer than 50% of the endpoints work (panic.threshold)',
    ],
    [
      'a panic spreads over all',
      { endpoint: sparing, isPanicking: true, service: spreading },
      'gets its share of the requests: panic, fewer than 25% of the endpoints work (panic.threshold)',
    ],
    ['it is ejected', { endpoint: { state: 'ejected' } }, ''],
    ['it is drained', { endpoint: { state: 'drain' } }, ''],
  ])('%s', (_, given, text) => {
    expect(stays(given)).toBe(text);
  });
});
