import { afterEach, describe, expect, it } from 'vitest';
import { EndpointColumn, ServiceColumn } from '../../src/ledger/layout.ts';
import { reason } from '../../src/model/reason.ts';
import { families } from '../../src/observe/families.ts';
import { Metrics, toOpenMetrics } from '../../src/observe/metrics.ts';
import { ManualClock } from '../support/clock.ts';
import { type FakeStats, makeEndpoint, makeServiceView, makeSources } from '../support/stats.ts';
import { textOf } from '../support/steps.ts';

/** Samples by series, families by name, of either format. */
function parse(text: string) {
  const samples = new Map<string, number>();
  const types = new Map<string, string>();
  for (const line of text.split('\n')) {
    const type = /^# TYPE (\S+) (counter|gauge|histogram|summary)$/.exec(line);
    if (type !== null) {
      expect(types.has(type[1]!), `${type[1]} is declared once`).toBe(false);
      types.set(type[1]!, type[2]!);
    }
    if (line === '' || line.startsWith('#')) continue;
    const sample = /^([a-z_0-9]+(?:\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)*\})?) (\S+)$/i.exec(line);
    expect(sample, line).not.toBeNull();
    expect(samples.has(sample![1]!), `${line} stands once`).toBe(false);
    samples.set(sample![1]!, Number(sample![2]!.replace('Inf', 'Infinity')));
  }
  return { samples, types };
}

describe('the families of metrics', () => {
  const stats: FakeStats = makeSources({ clock: new ManualClock() });
  const metrics = new Metrics(stats.sources);
  const scrape = async () => parse(textOf((await metrics.body('prometheus')).text));

  afterEach(() => stats.table.all.clear());

  it('are what the ledger holds', async () => {
    const one = makeEndpoint('n1/web', { weight: 3, ejections: 2 });
    const two = makeEndpoint('n2/web', { state: 'down' });
    const view = makeServiceView('web', [one, two], {
      ejections: new Map([['connect' as const, 2]]),
    });
    stats.table.set(view);
    const { worker } = stats;
    worker.openConnection(view.slot);
    worker.addService(view.slot, ServiceColumn.connections, 5);
    worker.addService(view.slot, ServiceColumn.bytesIn, 100);
    worker.addExchange(view.slot, 200, 1500);
    worker.addExchange(view.slot, 200, 500);
    worker.addExchange(view.slot, 503, 300_000_000);
    worker.addExchange(view.slot, 0, 100);
    worker.addReason(view.slot, reason('no-endpoint').index);
    worker.addRetry(view.slot, reason('connect-refused').index);
    worker.acquire(one.slot);
    worker.addEndpoint(one.slot, EndpointColumn.attempts, 4);
    worker.addResponse(one.slot, 200, 1500);
    const { samples } = await scrape();
    const ours = (name: string, labels = '') => samples.get(`${name}{service="web"${labels}}`);
    expect(ours('upriver_requests_total', ',code="200"')).toBe(2);
    expect(ours('upriver_requests_total', ',code="503"')).toBe(1);
    expect(ours('upriver_requests_total', ',code="0"')).toBe(1);
    expect(ours('upriver_requests_total', ',code="404"')).toBeUndefined();
    expect(ours('upriver_connections_active')).toBe(1);
    expect(ours('upriver_connections_total')).toBe(5);
    expect(ours('upriver_bytes_total', ',direction="in"')).toBe(100);
    expect(ours('upriver_replies_total', ',reason="no-endpoint"')).toBe(1);
    expect(ours('upriver_retries_total', ',reason="connect-refused"')).toBe(1);
    expect(ours('upriver_endpoint_up', ',endpoint="n1/web"')).toBe(1);
    expect(ours('upriver_endpoint_up', ',endpoint="n2/web"')).toBe(0);
    expect(ours('upriver_endpoint_active', ',endpoint="n1/web"')).toBe(1);
    expect(ours('upriver_endpoint_weight', ',endpoint="n1/web"')).toBe(3);
    expect(ours('upriver_endpoint_ejections_total', ',endpoint="n1/web"')).toBe(2);
    expect(ours('upriver_endpoint_attempts_total', ',endpoint="n1/web"')).toBe(4);
    expect(ours('upriver_endpoint_responses_total', ',endpoint="n1/web",code="2xx"')).toBe(1);
  });

  it('count durations in buckets with exact bounds', async () => {
    const view = makeServiceView('web', []);
    stats.table.set(view);
    // A bucket holds what is below its bound; 134217728 us is the last octave's beginning.
    const durationsUs = [100, 1023, 1024, 2047, 134_217_727, 134_217_728, 900_000_000];
    for (const us of durationsUs) stats.worker.addExchange(view.slot, 200, us);
    const { samples, types } = await scrape();
    expect(types.get('upriver_request_duration_seconds')).toBe('histogram');
    const bounds = [...samples.keys()].flatMap((series) => {
      const le = /^upriver_request_duration_seconds_bucket\{service="web",le="([^"]+)"\}$/.exec(
        series,
      )?.[1];
      return le === undefined ? [] : [le];
    });
    expect(bounds[0]).toBe('0.000256');
    expect(bounds.slice(-2)).toEqual(['134.217728', '+Inf']);
    for (const le of bounds) {
      const below = durationsUs.filter((us) => le === '+Inf' || us < Number(le) * 1e6).length;
      const series = `upriver_request_duration_seconds_bucket{service="web",le="${le}"}`;
      expect(samples.get(series), le).toBe(below);
    }
    expect(samples.get('upriver_request_duration_seconds_count{service="web"}')).toBe(7);
    const sum = durationsUs.reduce((total, us) => total + us, 0) / 1e6;
    expect(samples.get('upriver_request_duration_seconds_sum{service="web"}')).toBeCloseTo(sum, 9);
  });

  it('of an endpoint or service that left are gone', async () => {
    stats.table.set(makeServiceView('web', [makeEndpoint('one')]));
    expect(textOf((await metrics.body('prometheus')).text)).toContain('endpoint="one"');
    stats.table.set(makeServiceView('web', []));
    expect(textOf((await metrics.body('prometheus')).text)).not.toContain('endpoint="one"');
    stats.table.all.clear();
    expect(textOf((await metrics.body('prometheus')).text)).not.toContain('service="web"');
  });

  it('tell of registries, configuration and convergence', async () => {
    const lastSyncMs = stats.sources.clock.nowMs();
    stats.providers.push({
      name: 'consul',
      isSynced: true,
      lastSyncMs,
      errors: 3,
      lastError: '',
      address: 'http://127.0.0.1:8500',
      watches: 2,
      secondReads: { confirmed: 3 },
    });
    (stats.sources.clock as ManualClock).advance(2500);
    stats.say.config = 'upriver.yaml:1:1: unknown key';
    stats.say.ready = 'draining';
    const { samples } = await scrape();
    expect(samples.get('upriver_registry_sync_age_seconds{registry="consul"}')).toBe(2.5);
    expect(samples.get('upriver_registry_errors_total{registry="consul"}')).toBe(3);
    const reads = 'upriver_registry_second_reads_total{registry="consul",result="confirmed"}';
    expect(samples.get(reads)).toBe(3);
    expect(samples.get('upriver_config_last_reload_successful')).toBe(0);
    expect(samples.get('upriver_ready')).toBe(0);
    expect(samples.get('upriver_convergence_seconds_bucket{le="0.05"}')).toBe(5);
    expect(samples.get('upriver_convergence_seconds_bucket{le="+Inf"}')).toBe(6);
    expect(samples.get('upriver_convergence_seconds_sum')).toBe(0.5);
    expect(samples.get(`upriver_build_info{version="1.2.3",node="${process.versions.node}"}`)).toBe(
      1,
    );
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(0);
  });

  it('keep odd names apart from the format', async () => {
    stats.table.set(makeServiceView('a"b\\c\nd', []));
    const { samples } = await scrape();
    expect(samples.get('upriver_connections_active{service="a\\"b\\\\c\\\\nd"}')).toBe(0);
  });

  it('are the same in OpenMetrics, where counters are named without _total', async () => {
    stats.table.set(makeServiceView('web', [makeEndpoint('one')]));
    const text = textOf((await metrics.body('openmetrics')).text);
    expect(text.endsWith('\n# EOF\n')).toBe(true);
    expect(text).not.toContain('\n\n');
    const { types, samples } = parse(text);
    expect(types.get('upriver_endpoint_attempts')).toBe('counter');
    // A gauge of the process keeps its odd name.
    expect(types.get('nodejs_active_resources_total')).toBe('gauge');
    for (const series of samples.keys()) {
      const name = series.split('{')[0]!;
      const known = [name, name.replace(/_(total|bucket|sum|count)$/, '')];
      expect(
        known.some((one) => types.has(one)),
        series,
      ).toBe(true);
    }
  });

  it('leave a gauge its name', () => {
    const text = '# HELP a_total x\n# TYPE a_total gauge\na_total 1\n';
    expect(toOpenMetrics(text)).toBe(text);
  });

  it('have each a name of ours, help, and the labels that are declared', () => {
    expect(new Set(families.map(({ name }) => name)).size).toBe(families.length);
    const view = makeServiceView('web', [makeEndpoint('one')], {
      ejections: new Map([['reset' as const, 1]]),
    });
    stats.worker.addExchange(view.slot, 200, 1000);
    stats.worker.addReason(view.slot, 0);
    stats.worker.addRetry(view.slot, 0);
    const { sources } = stats;
    for (const { name, type, help, labels, read } of families) {
      expect(name).toMatch(/^upriver_[a-z_]+$/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
      expect(help).toMatch(/\.$/);
      const samples = [
        ...read({
          services: [view],
          unserved: new Map(),
          ledger: stats.ledger,
          convergence: stats.table.convergence,
          registries: stats.providers,
          nowMs: 0,
          isReady: true,
          memory: sources.memory(),
          certificates: [
            {
              ...{ file: 'a.pem', names: ['a'], untilMs: 1, fingerprint: 'f', problem: '' },
              acme: {
                ...{ directory: 'd', domains: ['a'], state: 'valid', error: '' },
                ...{ renewedMs: 1, nextMs: 2, renewals: 1, failures: 0 },
              },
            },
          ],
          config: sources.config(),
          workers: 2,
          version: '1',
        }),
      ];
      expect(samples.length, name).toBeGreaterThan(0);
      for (const sample of samples) {
        const own = labels.filter((label) => label !== 'le' || sample.suffix === '_bucket');
        expect(Object.keys(sample.labels).sort(), name).toEqual([...own].sort());
      }
    }
  });
});
