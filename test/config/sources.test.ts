// `from` as one source or a list: how it is read, and what is wrong with it where.
import { describe, expect, it } from 'vitest';
import { plainSource } from '../../src/model/source.ts';
import { load, problemsOf, serviceOf, settingsOf } from '../support/config.ts';

const BOTH = 'registries: { consul: {} }\nstatic: { web: [h:1] }\n';
const from = (text: string) => `${BOTH}services: { web: { listen: 80, from: ${text} } }`;

describe('from', () => {
  it.each([
    ['{ registry: consul }', [['consul', 'web', 1]]],
    ['[ { registry: consul } ]', [['consul', 'web', 1]]],
    ['', [['static', 'web', 1]]],
    ['{ service: other, registry: consul, priority: 3 }', [['consul', 'other', 3]]],
    [
      '[ { registry: consul, service: api }, { priority: 2 }, { registry: consul, datacenter: dc2, priority: "3" } ]',
      [
        ['consul', 'api', 1],
        ['static', 'web', 2],
        ['consul', 'web', 3],
      ],
    ],
  ])('takes %j', (text, expected) => {
    const service = serviceOf({ file: from(text) });
    const read = service.from.map(({ source, priority }) => [
      source.registry,
      source.service,
      priority,
    ]);
    expect(read).toEqual(expected);
  });

  it('has every key of a source, and its defaults', () => {
    const file = from(
      '[ { registry: consul, tag: v1, accept: [passing] }, { registry: consul, tag: v2 } ]',
    );
    expect(serviceOf({ file }).from).toEqual([
      { source: { ...plainSource('consul', 'web'), tag: 'v1', accept: ['passing'] }, priority: 1 },
      { source: { ...plainSource('consul', 'web'), tag: 'v2' }, priority: 1 },
    ]);
  });

  it.each([
    [
      '[]',
      'services.web.from: []: expected a mapping with registry and service, or a list of at most 16',
    ],
    ['consul', 'services.web.from: "consul": expected a map'],
    ['[ consul ]', 'services.web.from.0: "consul": expected a map'],
    [
      '[ { registry: consul }, { registry: consul, prioritty: 2 } ]',
      'services.web.from.1.prioritty: unknown key; did you mean priority?',
    ],
    [
      '{ registry: consul, priority: 0 }',
      'services.web.from.priority: 0: expected a whole number from 1 to 100',
    ],
    [
      '[ { registry: consul, priority: x } ]',
      'services.web.from.0.priority: "x": expected a whole number from 1 to 100',
    ],
    [
      '[ { registry: consul }, { registry: static, tag: v1 } ]',
      'services.web.from.1.tag: registry static has no tag: take it out',
    ],
    [
      '[ { registry: consul }, { registry: static, service: no } ]',
      'services.web.from.1.registry: there are no static endpoints of that name: expected static.no',
    ],
    [
      '[ { registry: consul }, { registry: consul, priority: 2 } ]',
      'services.web.from.1: is the same as from.0',
    ],
    [
      `[ ${'{ registry: consul },'.repeat(17)} ]`,
      'expected a mapping with registry and service, or a list of at most 16',
    ],
  ])('%s is told where it is wrong', (text, message) => {
    const problems = problemsOf({ file: from(text) });
    expect(problems.join('\n')).toContain(message);
    expect(problems[0]).toMatch(/^upriver\.yaml:3:\d+: /);
  });

  it('may be given by the overlay, and by no other key than those of a source', () => {
    const kv =
      'services: { web: { from: [ { registry: consul, tag: blue }, { registry: static, priority: 2 } ] } }';
    const file = from('{ registry: static }');
    expect(settingsOf({ file, kv }).services[0]!.from.map(({ priority }) => priority)).toEqual([
      1, 2,
    ]);
    const failover = 'services: { web: { failover: { return_after: 5s } } }';
    expect(settingsOf({ file, kv: failover }).services[0]!.failover).toEqual({
      afterMs: 0,
      returnAfterMs: 5000,
    });
    const [problem] = problemsOf({
      file,
      kv: 'services: { web: { from: [ { registry: consul, addres: x } ] } }',
    });
    expect(problem).toContain('unknown key');
  });

  it('is one source on the command line', () => {
    const flags = { consul: ['c:1'], service: ['web=80,from.tag=v1,from.priority=2'] };
    expect(serviceOf({ flags }).from).toEqual([
      { source: { ...plainSource('consul', 'web'), tag: 'v1' }, priority: 2 },
    ]);
  });

  it('names Consul in each source, so that it is followed where any of them wants it', () => {
    const text =
      'static: { web: [h:1] }\nservices: { web: { listen: 80, from: [ {}, { registry: consul } ] } }';
    expect(settingsOf({ file: text }).registries.consul).toBeDefined();
    expect(settingsOf({ file: text.replace(', { registry: consul }', '') }).registries).toEqual({});
    expect(load({ file: text }).tree.services).toMatchObject({
      web: { from: [{ registry: 'static' }, {}] },
    });
  });
});
