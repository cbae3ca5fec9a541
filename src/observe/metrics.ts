// Prometheus' text formats. Nothing is counted here: at each scrape the table and the ledger are
// read, so the series of an endpoint that has left are gone with it. Ours are written here, a step per
// sample; the defaults of the process are the client library's, in a registry of our own, never its
// global one. The library is loaded by the first scrape (3 MiB), and with it the defaults begin: a
// process that is never scraped watches no event loop.
import type { Registry } from 'prom-client';
import { safeLabel } from '../base/safe-text.ts';
import type { Steps } from '../base/turns.ts';
import { type Family, families, type Sample, type Scrape } from './families.ts';
import type { Body } from './renderer.ts';
import type { StatsSources } from './sources.ts';

export type MetricsFormat = 'prometheus' | 'openmetrics';

const TYPES: Readonly<Record<MetricsFormat, string>> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

export class Metrics {
  private readonly sources: StatsSources;
  private registry: Promise<Registry> | null = null;

  constructor(sources: StatsSources) {
    this.sources = sources;
  }

  /** Everything, to be written in steps. */
  async body(format: MetricsFormat): Promise<Body> {
    this.registry ??= openRegistry();
    const registry = await this.registry.catch((error: unknown) => {
      // The next scrape tries again.
      this.registry = null;
      throw error;
    });
    const defaults = await registry.metrics();
    return { type: TYPES[format], text: metricsSteps(this.sources, defaults, format) };
  }
}

async function openRegistry(): Promise<Registry> {
  const { collectDefaultMetrics, Registry } = await import('prom-client');
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}

function* metricsSteps(sources: StatsSources, defaults: string, format: MetricsFormat): Steps {
  const isOpen = format === 'openmetrics';
  const labels = new SafeLabels();
  // The library has taken milliseconds for these: the table has its turn after them.
  yield isOpen ? toOpenMetrics(defaults) : defaults;
  const scrape = scrapeOf(sources);
  yield '';
  for (const family of families) {
    yield `${isOpen ? '' : '\n'}${headOf(family, isOpen)}`;
    for (const sample of family.read(scrape)) yield lineOf(family, sample, labels);
  }
  if (isOpen) yield '# EOF\n';
}

/** OpenMetrics 1.0 names a counter without `_total` here. */
function headOf({ name, help, type }: Family, isOpen: boolean): string {
  const named = isOpen && type === 'counter' ? name.replace(/_total$/, '') : name;
  return `# HELP ${named} ${escaped(help)}\n# TYPE ${named} ${type}\n`;
}

function lineOf({ name }: Family, { labels, suffix, value }: Sample, known: SafeLabels): string {
  const written = Object.keys(labels).map((label) => `${label}="${known.of(labels[label]!)}"`);
  const all = written.length === 0 ? '' : `{${written.join(',')}}`;
  return `${name}${suffix ?? ''}${all} ${value === Number.POSITIVE_INFINITY ? '+Inf' : value}\n`;
}

function escaped(text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n');
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

/** Label values that are safe to show and escaped, each looked at once a scrape. */
class SafeLabels {
  private readonly known = new Map<string, string>();

  of(text: string): string {
    let safe = this.known.get(text);
    if (safe === undefined) {
      safe = escaped(safeLabel(text)).replace(/"/g, '\\"');
      this.known.set(text, safe);
    }
    return safe;
  }
}

/**
 * What the client library wrote, in OpenMetrics 1.0: a counter's TYPE and HELP leave out `_total`, and
 * there are no empty lines. (The library's own switch would rename metrics for good.)
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
  return `${lines.join('\n')}\n`;
}
