import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type TargetRules, targetSteps } from '../../src/discovery/target-groups.ts';
import { BOUNDS } from '../../src/model/bounds.ts';
import { finish } from '../support/steps.ts';

const readTargets = (value: unknown, rules: TargetRules) => finish(targetSteps(value, rules));
const rules = { service: '', tagPrefix: 'upriver' };

function read(value: unknown, service = '') {
  const targets = readTargets(value, { ...rules, service });
  return {
    problem: targets?.problem,
    services: Object.fromEntries(
      [...(targets?.list ?? [])].map(([name, { instances, problems, settings }]) => [
        name,
        { ids: instances.map(({ id, weight }) => `${id} ${weight}`), problems, settings },
      ]),
    ),
  };
}

describe('target groups', () => {
  it('name services by a label, or by what they are all called', () => {
    const groups = [
      { targets: ['10.0.0.1:80', 'Web.local:81'], labels: { service: 'web', job: 'other' } },
      { targets: ['[fd00::1]:82'], labels: { job: 'api' } },
      { targets: ['10.0.0.3:80'] },
    ];
    expect(read(groups, 'rest').services).toMatchObject({
      web: { ids: ['10.0.0.1:80 1', 'web.local:81 1'] },
      api: { ids: ['[fd00::1]:82 1'] },
      rest: { ids: ['10.0.0.3:80 1'] },
    });
    expect(read(groups).problem).toBe(
      'target group 3: expected a label service or job with the name of the service',
    );
    expect(Object.keys(read(groups).services)).toEqual(['web', 'api']);
  });

  it('of one service are one, and a target that is named twice is there once', () => {
    const groups = [
      { targets: ['10.0.0.1:80'], labels: { service: 'web', weight: '5' } },
      { targets: ['10.0.0.1:80', '10.0.0.2:80'], labels: { service: 'web' } },
    ];
    expect(read(groups).services.web!.ids).toEqual(['10.0.0.1:80 5', '10.0.0.2:80 1']);
  });

  it('name so many services, by names so long, and no more', () => {
    const named = (service: string) => ({ targets: ['10.0.0.1:80'], labels: { service } });
    const many = Array.from({ length: BOUNDS.listedServices.max + 1 }, (_, i) => named(`s${i}`));
    const { problem, services } = read(many);
    expect(Object.keys(services)).toHaveLength(BOUNDS.listedServices.max);
    expect(problem).toContain('more than 10000 services: the others are left out');
    const long = 'x'.repeat(BOUNDS.listedName.max + 1);
    expect(Object.keys(read([named(long), named(long.slice(1))]).services)).toEqual([
      long.slice(1),
    ]);
  });

  it('have settings, with dots or as Prometheus writes labels', () => {
    const labels = {
      'upriver.listen': 8000,
      upriver_health__path: '/up',
      env: 'x',
      service: 'web',
    };
    const more = { service: 'web', 'upriver.listen': '9000' };
    const { web } = read([
      { targets: [], labels },
      { targets: [], labels: more },
    ]).services;
    expect(web!.settings).toEqual({ listen: '8000', 'health.path': '/up' });
    expect(web!.problems).toEqual([
      "label 'upriver.listen': other groups say '8000', which counts",
    ]);
    expect(
      read([{ targets: [], labels: { service: 'a', 'upriver.balance': 'random' } }]).services.a,
    ).toMatchObject({ settings: null });
  });

  it('that are wrong spoil themselves alone', () => {
    const { services } = read([
      {
        targets: ['10.0.0.1', 5, 'a b:1', '10.0.0.2:80'],
        labels: { service: 'web', weight: '-1' },
      },
    ]);
    expect(services.web!.ids).toEqual(['10.0.0.2:80 1']);
    expect(services.web!.problems).toEqual([
      "label weight '-1': expected a number from 0 to 1000000",
      ...["'10.0.0.1'", "'5'", "'a b:1'"].map(
        (one) => `target ${one}: expected IP:PORT, [IPv6]:PORT or HOST:PORT`,
      ),
    ]);
    expect(read([5]).problem).toMatch('target group 1: expected a map');
    expect(read([{ targets: 'a:1' }]).problem).toMatch('targets: expected a list');
    expect(read([{ targets: [], labels: [] }]).problem).toMatch('labels: expected a map');
    expect(readTargets({ targets: [] }, rules)).toBeNull();
    expect(readTargets(null, rules)).toBeNull();
  });

  it('keep few of the problems that a list of megabytes may have', () => {
    const groups = [{ targets: Array(10_000).fill('wrong'), labels: { service: 'web' } }];
    expect(read(groups).services.web!.problems).toHaveLength(20);
  });

  it('take the name of a setting for what it is, whatever every object has', () => {
    const labels = { service: 'web', upriver_listen: '80', upriver_constructor: 'x' };
    const { web } = read([{ targets: ['10.0.0.1:80'], labels }]).services;
    expect(web!.problems).toEqual([]);
    expect({ ...web!.settings }).toEqual({ listen: '80', constructor: 'x' });
  });

  it('never throw, and hold no instance that is none', () => {
    fc.assert(
      fc.property(fc.array(fc.anything()), fc.string(), (groups, service) => {
        for (const { instances } of readTargets(groups, { ...rules, service })!.list.values()) {
          for (const { port, weight, host } of instances) {
            expect(port).toBeGreaterThan(0);
            expect(weight).toBeGreaterThanOrEqual(0);
            expect(host).not.toBe('');
          }
        }
      }),
    );
  });
});
