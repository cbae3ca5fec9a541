import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { type SourceSettings, Table } from '../../src/control/table.ts';
import { onlySource, plainSource, type ServiceSource, sourceKey } from '../../src/model/source.ts';
import { makeService } from '../support/service.ts';

/** A source in a registry; the same service in another datacenter is another source. */
function source(service: string, datacenter = ''): ServiceSource {
  return { ...plainSource('static', service), datacenter };
}

/** Reads `slow` as the slow start; anything else is a slip. */
function describeAs(from: ServiceSource, settings: SourceSettings) {
  const slow = Number(settings.slow);
  if (Number.isNaN(slow)) return { service: null, problems: [`slow: '${settings.slow}'`] };
  return {
    service: makeService({ name: from.service, from: onlySource(from), slowStartMs: slow }),
    problems: [],
  };
}

let table: Table;
beforeEach(() => {
  table = new Table(describeAs);
});

describe('the table', () => {
  it('serves nothing before there is a configuration, and what was said before then', () => {
    table.describeSource(source('self'), { slow: '1' });
    expect(table.get('self')).toBeNull();
    expect(table.configure([makeService()])).toEqual({ changed: ['self', 'web'], removed: [] });
    expect([...table.servedBy(sourceKey(source('self')))]).toEqual(['self']);
  });

  it('names only the services that a change concerns', () => {
    table.configure([makeService(), makeService({ name: 'api' })]);
    const api = makeService({ name: 'api', slowStartMs: 5 });
    expect(table.configure([makeService(), api])).toEqual({ changed: ['api'], removed: [] });
    expect(table.configure([makeService(), api])).toEqual({ changed: [], removed: [] });
    expect(table.configure([api])).toEqual({ changed: [], removed: ['web'] });
  });

  it('follows a service to another source', () => {
    table.configure([makeService({ from: onlySource(source('a')) })]);
    table.configure([makeService({ from: onlySource(source('b')) })]);
    expect([...table.servedBy(sourceKey(source('a')))]).toEqual([]);
    expect([...table.servedBy(sourceKey(source('b')))]).toEqual(['web']);
  });

  it('prefers what is configured, and goes back to what is described', () => {
    table.configure([]);
    table.describeSource(source('web'), { slow: '7' });
    expect(table.get('web')).toMatchObject({ isConfigured: false, service: { slowStartMs: 7 } });
    table.configure([makeService()]);
    expect(table.get('web')).toMatchObject({ isConfigured: true, service: { slowStartMs: 0 } });
    table.describeSource(source('web'), { slow: '8' });
    expect(table.get('web')!.service.slowStartMs).toBe(0);
    expect(table.configure([])).toEqual({ changed: ['web'], removed: [] });
    expect(table.get('web')!.service.slowStartMs).toBe(8);
  });

  it('lets one of two sources describe a service, and says so; the other is next', () => {
    table.configure([]);
    table.describeSource(source('web', 'dc1'), { slow: '1' });
    table.describeSource(source('web', 'dc2'), { slow: '2' });
    expect(table.get('web')!.service.slowStartMs).toBe(1);
    expect(table.unservedOf('web')).toEqual([
      'describes itself twice: web of static dc2 is not in use',
    ]);
    expect(table.forgetSource(sourceKey(source('web', 'dc1'))).changed).toEqual(['web']);
    expect(table.get('web')!.service.slowStartMs).toBe(2);
    expect(table.unservedOf('web')).toEqual([]);
  });

  it('is described by the same source, whichever came first', () => {
    table.configure([]);
    table.describeSource(source('web', 'dc2'), { slow: '2' });
    table.describeSource(source('web', 'dc1'), { slow: '1' });
    expect(table.get('web')!.service.slowStartMs).toBe(1);
  });

  it('knows the earliest order while the same listener is wanted', () => {
    table.configure([]);
    const say = (listen: string, order?: number) =>
      table.describeSource(source('web'), { slow: '1', listen }, order);
    say('80', 30);
    expect(table.orderOf('web')).toBe(30);
    say('80', 50);
    expect(table.orderOf('web')).toBe(30);
    expect(say('80', 20).changed).toEqual(['web']);
    expect(table.orderOf('web')).toBe(20);
    expect(table.orderOfSource(sourceKey(source('web')))).toBe(20);
    say('81', 70);
    expect(table.orderOf('web')).toBe(70);
    say('82');
    expect(table.orderOfSource(sourceKey(source('web')))).toBeNull();
  });

  it('goes on with the last good description after a slip, and shows the slip', () => {
    table.configure([]);
    table.describeSource(source('web'), { slow: '1' });
    table.describeSource(source('web'), { slow: 'x' });
    expect(table.get('web')).toMatchObject({
      service: { slowStartMs: 1 },
      problems: ["slow: 'x'"],
    });
    table.describeSource(source('web'), { slow: '3' });
    expect(table.get('web')).toMatchObject({ service: { slowStartMs: 3 }, problems: [] });
  });

  it('shows the problem of a service that never could be read', () => {
    table.configure([]);
    expect(table.describeSource(source('web'), { slow: 'x' }).changed).toEqual([]);
    expect(table.unservedOf('web')).toEqual(["slow: 'x'"]);
    expect([...table.describedNames]).toEqual(['web']);
  });

  it('takes a description back', () => {
    table.configure([]);
    table.describeSource(source('web'), { slow: '1' });
    expect(table.describeSource(source('web'), null)).toEqual({ changed: [], removed: ['web'] });
  });

  it('comes to the same whatever the order in which it was told', () => {
    const names = ['a', 'b', 'c'];
    const told = fc.record({
      configured: fc.uniqueArray(fc.constantFrom(...names)),
      described: fc.uniqueArray(fc.constantFrom(...names)),
    });
    fc.assert(
      fc.property(fc.array(told, { maxLength: 8 }), told, (before, last) => {
        const walked = new Table(describeAs);
        const known = new Set<string>();
        const tell = ({ configured, described }: typeof last) => {
          const services = configured.map((name) => makeService({ name }));
          const changes = [
            ...names.map((name) =>
              walked.describeSource(source(name), described.includes(name) ? { slow: '1' } : null),
            ),
            walked.configure(services),
          ];
          for (const { changed, removed } of changes) {
            for (const name of removed) expect(known.delete(name)).toBe(true);
            for (const name of changed) known.add(name);
          }
        };
        for (const one of before) tell(one);
        tell(last);
        const wanted = new Set([...last.configured, ...last.described]);
        expect(known).toEqual(wanted);
        for (const name of wanted) {
          expect(walked.get(name)!.isConfigured).toBe(last.configured.includes(name));
          expect([...walked.servedBy(sourceKey(source(name)))]).toEqual([name]);
        }
      }),
    );
  });
});
