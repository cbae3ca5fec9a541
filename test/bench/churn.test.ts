import { describe, expect, it } from 'vitest';
import { scenarioTable } from '../../bench/churn/report.ts';
import { figuresOf, missedGoals, type Scenario } from '../../bench/churn/scenario.ts';
import { parseStat } from '../../bench/churn/subject.ts';
import { renderHaproxyServers } from '../../bench/churn/subjects/haproxy-reload.ts';
import { renderNginx } from '../../bench/churn/subjects/nginx-reload.ts';
import { serversOf } from '../../bench/churn/template-loop.ts';

const scenario: Scenario = {
  name: 'crash',
  title: 'crash',
  goals: { failed: 0 },
  prepare: () => Promise.reject(new Error('not played here')),
};

describe('bench:churn', () => {
  it('renders the instances in one order, whatever the registry answers', () => {
    const instance = (Port: number) => ({ Service: { Address: '127.0.0.1', Port } });
    expect(serversOf([instance(9), instance(8)])).toEqual(['127.0.0.1:8', '127.0.0.1:9']);
    expect(renderHaproxyServers(['127.0.0.1:8'])).toBe('  server s_127_0_0_1_8 127.0.0.1:8');
    expect(renderNginx(['127.0.0.1:8'], 80, '/tmp/upriver-churn-test')).toContain(
      'server 127.0.0.1:8 max_fails=1',
    );
  });

  it('takes latencies from after the fault, and failures from all of the time', () => {
    const figures = figuresOf(
      {
        ok: 3,
        failures: [{ atMs: 1, sentMs: 0, why: '502 ', tookMs: 1, isReused: true }],
        byEndpoint: new Map(),
        latenciesMs: [900, 1, 2, 3],
        repeated: 0,
      },
      1,
    );
    expect(figures).toMatchObject({ requests: 4, failed: 1, kinds: { 502: 1 }, maxMs: 3 });
  });

  it('misses a goal by a larger figure and by none', () => {
    expect(missedGoals({ failed: 0 }, { failed: 0 })).toEqual([]);
    expect(missedGoals({ failed: 0, p99Ms: 50 }, { failed: 2 })).toEqual([
      'failed 2 > 0',
      'p99Ms not measured',
    ]);
  });

  it('sums failures over the rounds and takes the median of times', () => {
    const round = (failed: number, p50Ms: number) => ({
      ...{ scenario: 'crash', subject: 'A', round: 1, cpuMs: 5, loopCpuMs: 2, processes: 1 },
      figures: { requests: 10, failed, p50Ms, kinds: failed > 0 ? { '502': failed } : {} },
    });
    const table = scenarioTable(scenario, [round(0, 1), round(2, 3), round(1, 2)]);
    expect(table).toContain('| A | 30 | 3 (3 × 502) |  | 2.0 |');
    expect(table).toContain('failed 2 > 0, failed 1 > 0');
  });

  it('reads CPU time behind a name that holds spaces and brackets', () => {
    const line = '7 (a) b) S 1 42 42 0 -1 0 0 0 0 0 3 2 10 5 20 0';
    expect(parseStat(line)).toEqual({ group: 42, ownMs: 50, allMs: 200 });
  });
});
