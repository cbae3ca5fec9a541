// Prometheus' text formats. Nothing is counted here: at each scrape the table and the ledger are
// read, so the series of an endpoint that has left are gone with it. The registry is our own, never
// the client library's global one. The library is loaded by the first scrape (3 MiB), and with it
// the defaults of the process begin: a process that is never scraped watches no event loop.
import type { Metric, Registry } from 'prom-client';
import { safeLabel } from '../base/safe-text.ts';
import { type Family, families, type Labels, type Sample, type Scrape } from './families.ts';
import type { StatsSources } from './sources.ts';

export type MetricsFormat = 'prometheus' | 'openmetrics';

export const METRICS_TYPES: Readonly<Record<MetricsFormat, string>> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

export class Metrics {
  private readonly sources: StatsSources;
  private registry: Promise<Registry> | null = null;
  private scrape: Scrape | null = null;
  private running: Promise<string> | null = null;
  private readonly labels = new SafeLabels();
  private turns: Promise<void> = Promise.resolve();

  constructor(sources: StatsSources) {
    this.sources = sources;
  }

  /** Everything as text; who asks while a scrape runs gets that one. */
  async text(format: MetricsFormat): Promise<string> {
    this.running ??= this.collect();
    const text = await this.running;
    return format === 'openmetrics' ? toOpenMetrics(text) : text;
  }

  private async openRegistry(): Promise<Registry> {
    const { collectDefaultMetrics, Registry } = await import('prom-client');
    const registry = new Registry();
    collectDefaultMetrics({ register: registry });
    for (const family of families) {
      registry.registerMetric(metricOf(family, () => this.read(family)));
    }
    return registry;
  }

  /** The samples of a family, each in a turn of its own: a health check need not wait for all. */
  private async read(family: Family): Promise<readonly Sample[]> {
    const turn = this.turns.then(() => new Promise<void>((resolve) => setImmediate(resolve)));
    this.turns = turn;
    await turn;
    if (this.scrape === null) return [];
    const samples = [...family.read(this.scrape)];
    return samples.map((sample) => ({ ...sample, labels: this.labels.of(sample.labels) }));
  }

  private async collect(): Promise<string> {
    try {
      this.registry ??= this.openRegistry();
      const registry = await this.registry.catch((error: unknown) => {
        // The next scrape tries again.
        this.registry = null;
        throw error;
      });
      this.scrape = scrapeOf(this.sources);
      return await registry.metrics();
    } finally {
      this.scrape = null;
      this.running = null;
      this.labels.forget();
    }
  }
}

function scrapeOf(sources: StatsSources): Scrape {
  const { view, ledger, version, workers } = sources;
  return {
    services: view.services(),
    unserved: view.unserved(),
    ledger,
    convergence: view.convergence,
    registries: sources.providers(),
    nowMs: sources.clock.nowMs(),
    isReady: sources.readiness().ready,
    memory: sources.memory(),
    certificates: sources.certificates().list,
    config: sources.config(),
    workers,
    version,
  };
}

/** Label values that are safe to show, each looked at once a scrape. */
class SafeLabels {
  private readonly known = new Map<string, string>();

  of(labels: Labels): Labels {
    const safe: Record<string, string> = {};
    for (const name in labels) safe[name] = this.value(labels[name]!);
    return safe;
  }

  forget(): void {
    this.known.clear();
  }

  private value(text: string): string {
    let safe = this.known.get(text);
    if (safe === undefined) {
      safe = safeLabel(text);
      this.known.set(text, safe);
    }
    return safe;
  }
}

/** What the client library asks of a metric: a name and a way to get plain values. */
function metricOf({ name, type, help }: Family, read: () => Promise<readonly Sample[]>): Metric {
  const get = async () => ({
    name,
    help,
    type,
    aggregator: 'sum',
    values: (await read()).map(({ labels, value, suffix }) =>
      suffix === undefined ? { labels, value } : { labels, value, metricName: name + suffix },
    ),
  });
  const metric = { name, help, type, aggregator: 'sum', get, reset() {} };
  // The library takes any object of this shape; its types know its own classes alone.
  return metric as unknown as Metric;
}

/**
 * The same in OpenMetrics 1.0: a counter's TYPE and HELP leave out `_total`, there are no empty
 * lines, and the end is marked. (The library's own switch would rename metrics for good.)
 */
export function toOpenMetrics(text: string): string {
  const counters = new Set(
    [...text.matchAll(/^# TYPE (\S+)_total counter$/gm)].map(([, name]) => name),
  );
  const lines = text.split('\n').flatMap((line) => {
    if (line === '') return [];
    const name = /^# (?:HELP|TYPE) (\S+)_total(?= )/.exec(line)?.[1];
    return name !== undefined && counters.has(name) ? line.replace(`${name}_total`, name) : line;
  });
  return `${lines.join('\n')}\n# EOF\n`;
}
