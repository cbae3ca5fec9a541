// Everything the dashboard shows at one moment: gathered once, rendered whole by page.ts and, cell by
// cell, sent to open pages by live.ts. A row is anything with cells: a table row, the caption of a
// service, the figures on top.
import { encodeSegment } from '../base/path-text.ts';
import { safeLine } from '../base/safe-text.ts';
import type { TableEvent } from '../control/view.ts';
import { type Cells, clientCells, endpointCells, totalCells, upText } from './cells.ts';
import type { ServiceFigures } from './figures.ts';
import type { RegistryStatus, Status } from './status.ts';
import * as text from './text.ts';
import { totalsOf } from './totals.ts';

/** A service with the rates of the last minute, oldest first. */
export interface ShownService {
  readonly figures: ServiceFigures;
  readonly trend: readonly number[];
}

export interface PageModel {
  readonly status: Status;
  readonly services: readonly ShownService[];
  /** Newest first. */
  readonly events: readonly TableEvent[];
  readonly nowMs: number;
}

export type Row = readonly [key: string, cells: Cells];

/** Keys of rows: a service's name is escaped, so `?` and `/` can't be part of it. */
export const rowKey = {
  process: ':process',
  summary: ':summary',
  registry: (name: string) => `:registry/${escaped(name)}`,
  service: (name: string) => escaped(name),
  clients: (name: string) => `${escaped(name)}?clients`,
  total: (name: string) => `${escaped(name)}?total`,
  endpoint: (name: string, id: string) => `${escaped(name)}/${escaped(id)}`,
};

/** Half of a surrogate pair has no escape. */
function escaped(name: string): string {
  return encodeSegment(name);
}

/** The rows, one at a time: for a large table, together they are large. */
export function* rowsOf({ services, status }: PageModel): Generator<Row, void, void> {
  yield [rowKey.process, processCells(status)];
  yield [rowKey.summary, summaryCells(services)];
  for (const registry of status.registries) {
    yield [rowKey.registry(registry.name), registryCells(registry)];
  }
  for (const service of services) {
    const { figures } = service;
    yield [rowKey.service(figures.name), captionCells(service)];
    yield [rowKey.clients(figures.name), clientCells(figures)];
    for (const endpoint of figures.endpoints) {
      yield [rowKey.endpoint(figures.name, endpoint.id), endpointCells(endpoint)];
    }
    yield [rowKey.total(figures.name), totalCells(figures)];
  }
}

/** What the dashboard says of a service in panic. */
const PANIC = 'panic mode: unhealthy endpoints get traffic too';

/** What is wrong, each once. */
export function problemsOf({ status, services }: PageModel): string[] {
  const { live, config } = status;
  return [
    ...new Set([
      ...(live.ok ? [] : [live.reason]),
      ...(config.error === '' ? [] : [`Configuration refused, the old one stays: ${config.error}`]),
      ...status.problems,
      ...services.flatMap(({ figures }) =>
        [...figures.problems, ...(figures.panic ? [PANIC] : [])].map(
          (problem) => `${figures.name}: ${problem}`,
        ),
      ),
    ]),
  ];
}

/** Pages with the same rows, in order, and the same of this differ in their cells alone. */
export function layoutOf(model: PageModel): string {
  const listens = model.services.map(({ figures }) => [
    figures.listen,
    figures.protocol,
    figures.balance,
    figures.sources.length > 1 ? figures.endpoints.map(({ sources }) => sources) : [],
  ]);
  return JSON.stringify([listens, problemsOf(model)]);
}

export function processCells(status: Status): Cells {
  const { ready, config } = status;
  return {
    // Why it is ready after all is a reason too: it serves from the state file.
    ready: [
      safeLine(`${ready.ready ? 'ready' : 'not ready'}${ready.reason && `: ${ready.reason}`}`),
    ],
    started: ['', status.started],
    config: [config.error === '' ? 'in force' : 'refused'],
    loaded: ['', config.loaded],
  };
}

export function summaryCells(services: readonly ShownService[]): Cells {
  const all = services.map(({ figures }) => ({ figures, totals: totalsOf(figures) }));
  const sum = (read: (one: (typeof all)[number]) => number) =>
    all.reduce((total, one) => total + read(one), 0);
  return {
    services: [text.count(services.length)],
    endpoints: [
      upText({
        up: sum(({ totals }) => totals.up),
        endpoints: sum(({ totals }) => totals.endpoints),
      }),
    ],
    rate: [text.rate(sum(({ figures }) => figures.rate))],
    connections: [text.count(sum(({ figures }) => figures.connections))],
    active: [text.count(sum(({ totals }) => totals.active))],
    errors: [text.count(sum(({ totals }) => totals.codes[5] ?? 0))],
  };
}

function captionCells({ figures, trend }: ShownService): Cells {
  return { up: [upText(totalsOf(figures))], trend: [trendPoints(trend)] };
}

export function registryCells(registry: RegistryStatus): Cells {
  const age = registry.sync_age_seconds;
  const answered = registry.synced ? 'in sync' : 'no answer yet';
  return {
    state: [registry.last_error === '' ? answered : safeLine(registry.last_error)],
    address: [safeLine(registry.address)],
    age: [age === null ? 'never' : `${text.duration(age * 1000)} ago`],
    watches: [text.count(registry.watches)],
    errors: [text.count(registry.errors)],
  };
}

const TREND_WIDTH = 60;
const TREND_HEIGHT = 16;

/** Points of a line from the right edge leftwards, its highest at the top. */
export function trendPoints(trend: readonly number[]): string {
  const highest = Math.max(1, ...trend);
  return trend
    .map((rate, i) => {
      const x = TREND_WIDTH - trend.length + i;
      return `${x},${(TREND_HEIGHT - 1 - (rate / highest) * (TREND_HEIGHT - 2)).toFixed(1)}`;
    })
    .join(' ');
}
