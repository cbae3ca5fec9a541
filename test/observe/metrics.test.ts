import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EndpointColumn, endpointRows, ServiceColumn } from '../../src/ledger/layout.ts';
import { reasons } from '../../src/model/reason.ts';
import {
  makeEndpointView,
  makeServiceView,
  type StatsPort,
  startStatsPort,
} from '../support/stats-port.ts';

const OPENMETRICS = { accept: 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5' };

let port: StatsPort;
beforeEach(async () => {
  port = await startStatsPort();
});
afterEach(() => port.close());

interface Sample {
  readonly name: string;
  readonly labels: string;
  readonly value: number;
}

function samplesOf(text: string): Sample[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
      expect(match, line).not.toBeNull();
      return { name: match![1]!, labels: match![2] ?? '', value: Number(match![3]) };
    });
}

async function scrape(): Promise<Map<string, number>> {
  const { text } = await port.ask('/metrics');
  return new Map(samplesOf(text).map(({ name, labels, value }) => [`${name}{${labels}}`, value]));
}

const web = () => makeServiceView('web', { endpoints: [makeEndpointView('n/a', { slot: 1 })] });

describe('the metrics', () => {
  it('are the numbers of the ledger', async () => {
    const { worker } = port;
    port.services = [web()];
    worker.addExchange(0, 200, 1000);
    worker.addExchange(0, 200, 1000);
    worker.addExchange(0, 503, 1000);
    worker.addExchange(0, 0, 1000);
    worker.addReason(0, reasons[0]!.index);
    worker.addRetry(0, reasons[1]!.index);
    worker.openConnection(0);
    worker.addService(0, ServiceColumn.connections, 9);
    worker.addService(0, ServiceColumn.bytesOut, 512);
    worker.acquire(1);
    worker.acquire(1);
    const got = await scrape();
    expect(got.get('upriver_requests_total{service="web",code="200"}')).toBe(2);
    expect(got.get('upriver_requests_total{service="web",code="503"}')).toBe(1);
    expect(got.get('upriver_requests_total{service="web",code="0"}')).toBe(1);
    const [first, second] = reasons;
    expect(got.get(`upriver_replies_total{service="web",reason="${first!.code}"}`)).toBe(1);
    expect(got.get(`upriver_retries_total{service="web",reason="${second!.code}"}`)).toBe(1);
    expect(got.get('upriver_connections_active{service="web"}')).toBe(1);
    expect(got.get('upriver_connections_total{service="web"}')).toBe(9);
    expect(got.get('upriver_bytes_total{service="web",direction="out"}')).toBe(512);
    expect(got.get('upriver_endpoint_active{service="web",endpoint="n/a"}')).toBe(2);
    expect(got.get('upriver_endpoint_up{service="web",endpoint="n/a"}')).toBe(1);
  });

  it('have every counter of an endpoint', async () => {
    port.services = [web()];
    endpointRows.forEach((row, i) => {
      port.worker.addEndpoint(1, EndpointColumn[row.key], i + 1);
    });
    const got = await scrape();
    endpointRows.forEach((row, i) => {
      const { metric } = row;
      const labels = Object.entries('labels' in row ? row.labels : {});
      const more = labels.map(([name, value]) => `,${name}="${value}"`).join('');
      expect(got.get(`${metric}{service="web",endpoint="n/a"${more}}`), metric).toBe(i + 1);
    });
  });

  it('lose the series of an endpoint and a service that have left', async () => {
    const left = makeEndpointView('n/left', { slot: 2 });
    port.services = [makeServiceView('web', { endpoints: [...web().endpoints, left] })];
    expect((await port.ask('/metrics')).text).toContain('endpoint="n/left"');
    port.services = [web()];
    const text = (await port.ask('/metrics')).text;
    expect(text).not.toContain('n/left');
    expect(text).toContain('endpoint="n/a"');
    port.services = [];
    expect((await port.ask('/metrics')).text).not.toContain('service="web"');
  });

  it('count durations in cumulative buckets that end with all', async () => {
    port.services = [web()];
    for (const us of [50, 500, 5000, 50_000, 500_000]) port.worker.addExchange(0, 200, us);
    const { text } = await port.ask('/metrics');
    const name = 'upriver_request_duration_seconds';
    const own = samplesOf(text).filter((one) => one.name.startsWith(name));
    const buckets = own.filter((one) => one.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => /le="([^"]+)"/.exec(labels)![1]!);
    expect(bounds.at(-1)).toBe('+Inf');
    const numbers = bounds.slice(0, -1).map(Number);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    for (const [i, { value }] of buckets.entries()) {
      const bound = i < numbers.length ? numbers[i]! : Number.POSITIVE_INFINITY;
      const below = [0.00005, 0.0005, 0.005, 0.05, 0.5].filter((s) => s < bound).length;
      expect(value, `le ${bound}`).toBe(below);
    }
    expect(own.find((one) => one.name === `${name}_count`)!.value).toBe(5);
    expect(own.find((one) => one.name === `${name}_sum`)!.value).toBeCloseTo(0.55555, 9);
    const convergence = await scrape();
    expect(convergence.get('upriver_convergence_seconds_bucket{le="0.01"}')).toBe(3);
    expect(convergence.get('upriver_convergence_seconds_bucket{le="0.1"}')).toBe(5);
    expect(convergence.get('upriver_convergence_seconds_bucket{le="+Inf"}')).toBe(6);
    expect(convergence.get('upriver_convergence_seconds_count{}')).toBe(6);
  });

  it('escape what a label may not hold', async () => {
    port.services = [makeServiceView('a"b\\c\nd', { endpoints: [makeEndpointView('e')] })];
    const { text } = await port.ask('/metrics');
    expect(text).toContain('service="a\\"b\\\\c\\\\nd"');
    for (const line of text.split('\n')) expect(line).toMatch(/^(?:#.*|[\w:]+(?:\{.*\})? \S+)?$/);
  });

  it('tell of registries, configuration and build', async () => {
    port.providers = [
      {
        ...{ name: 'consul', isSynced: true, lastSyncMs: performance.now() - 2000, errors: 3 },
        ...{ lastError: '', address: 'http://127.0.0.1:8500', watches: 2 },
      },
    ];
    const before = await scrape();
    const age = before.get('upriver_registry_sync_age_seconds{registry="consul"}');
    expect(age).toBeGreaterThanOrEqual(2);
    expect(age).toBeLessThan(10);
    expect(before.get('upriver_registry_errors_total{registry="consul"}')).toBe(3);
    expect(before.get('upriver_config_last_reload_successful{}')).toBe(1);
    expect(before.get('upriver_workers{}')).toBe(2);
    port.config = { error: 'bad', loadedMs: 1 };
    expect((await scrape()).get('upriver_config_last_reload_successful{}')).toBe(0);
    const { text } = await port.ask('/metrics');
    expect(text).toMatch(/^upriver_build_info\{version="1\.2\.3",node="[\d.]+"\} 1$/m);
    expect(text).toContain('process_resident_memory_bytes');
  });
});

describe('the format', () => {
  it('is the text format unless OpenMetrics is asked for', async () => {
    const { headers, text } = await port.ask('/metrics');
    expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(text).not.toContain('# EOF');
    const open = await port.ask('/metrics', { headers: OPENMETRICS });
    expect(open.headers['content-type']).toMatch(/^application\/openmetrics-text; version=1\.0\.0/);
    expect(open.text).toMatch(/\n# EOF\n$/);
  });

  it('names each series in OpenMetrics as its family and type demand', async () => {
    port.services = [web()];
    port.worker.addExchange(0, 200, 1000);
    const { text } = await port.ask('/metrics', { headers: OPENMETRICS });
    const suffixes: Record<string, readonly string[]> = {
      counter: ['_total', '_created'],
      gauge: [''],
      histogram: ['_bucket', '_sum', '_count', '_created'],
      summary: ['', '_sum', '_count', '_created'],
      info: ['_info'],
      unknown: [''],
    };
    let allowed: string[] = [];
    const families = new Set<string>();
    for (const line of text.split('\n')) {
      const type = /^# TYPE (\S+) (\S+)$/.exec(line);
      if (type !== null) {
        expect(families, `${type[1]} comes once`).not.toContain(type[1]);
        families.add(type[1]!);
        allowed = suffixes[type[2]!]!.map((suffix) => type[1]! + suffix);
      } else if (line !== '' && !line.startsWith('#')) {
        expect(allowed, line).toContain(/^[\w:]+/.exec(line)![0]);
      }
    }
    expect(families).toContain('upriver_requests');
  });
});

it('a large table keeps no health check waiting until all of it is written', async () => {
  const endpoints = Array.from({ length: 5000 }, (_, i) => makeEndpointView(`node-${i}/web`));
  port.services = [makeServiceView('web', { endpoints })];
  let isDone = false;
  const scrape = port.ask('/metrics').then(() => {
    isDone = true;
  });
  let checks = 0;
  while (!isDone) {
    expect((await port.ask('/healthz')).status).toBe(200);
    checks += 1;
  }
  await scrape;
  // In one piece it would be the one before and the one after.
  expect(checks).toBeGreaterThan(5);
});
