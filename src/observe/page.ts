// The dashboard as HTML: rendered whole by the server, so that it is of use in curl and without
// scripts. The script of stats-page/ then keeps it live; it finds its places by `data-row` (keys of
// page-model.ts), `data-key` (columns) and `data-cell`.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { safeHtml } from '../base/safe-text.ts';
import type { Steps } from '../base/turns.ts';
import type { TableEvent } from '../control/view.ts';
import type { Cells } from './cells.ts';
import {
  type PageModel,
  problemsOf,
  processCells,
  registryCells,
  rowKey,
  summaryCells,
} from './page-model.ts';
import { sectionSteps } from './service-section.ts';
import type { RegistryStatus, Status } from './status.ts';
import { clockTime, duration } from './text.ts';

export interface Asset {
  readonly bytes: Buffer;
  readonly type: string;
  readonly etag: string;
}

const FILES = [
  { path: '/stats/page.js', file: 'page.js', type: 'text/javascript; charset=utf-8' },
  { path: '/stats/page.css', file: 'page.css', type: 'text/css; charset=utf-8' },
];

/** The files of the page, read once. */
export function loadAssets(): ReadonlyMap<string, Asset> {
  return new Map(
    FILES.map(({ path, file, type }) => {
      const bytes = readFileSync(new URL(`./stats-page/${file}`, import.meta.url));
      const hash = createHash('sha256').update(bytes).digest('base64url').slice(0, 16);
      return [path, { bytes, type, etag: `"${hash}"` }];
    }),
  );
}

/** The page; with `mayOperate` it has buttons to drain, ready and maint. */
export function* pageSteps(model: PageModel, mayOperate: boolean): Steps {
  const { status, services, events, nowMs } = model;
  yield `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Upriver</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/stats/page.css">
<script type="module" src="/stats/page.js"></script>
</head>
<body>
<a class="skip" href="#services">Skip to the services</a>
<header>
<h1>Upriver <small>${safeHtml(status.version)}</small></h1>
${facts(status, nowMs)}
<form class="tools" role="search" hidden>
<label><span class="unseen">Filter</span><input type="search" id="filter" placeholder="Filter  ( / )" autocomplete="off" spellcheck="false"></label>
<label class="choice"><input type="checkbox" id="trouble"> Trouble only</label>
</form>
<p id="link" class="link" role="status">as of ${clockTime(nowMs)} UTC; load again to renew</p>
</header>
<main>
<ul id="problems" class="problems" role="alert">${problemsOf(model).map(item).join('')}</ul>
${summary(summaryCells(services))}
<div id="services">${services.length === 0 ? EMPTY : ''}`;
  for (const [i, service] of services.entries()) {
    if (i > 0) yield '\n';
    yield* sectionSteps(service, { mayOperate, nowMs });
  }
  yield `</div>
<p id="none" class="empty" hidden>No service or endpoint matches the filter.</p>
<div class="pair">
${registries(status.registries)}
${changes(events)}
</div>
</main>
<p id="news" class="unseen" aria-live="polite"></p>
<footer><a href="/metrics">Metrics</a> <a href="/stats;csv">CSV</a> <a href="/api/v1/services">Services as JSON</a> <a href="/api/v1/status">Status as JSON</a> <a href="/api/v1/events?format=json">Changes as JSON</a></footer>
</body>
</html>
`;
}

const EMPTY =
  '<p class="empty">No service yet. Name one with <code>--service NAME=PORT</code>, in the configuration file, or let it describe itself in the registry with the tag <code>upriver.listen=PORT</code>.</p>';

function item(text: string): string {
  return `<li>${safeHtml(text)}</li>`;
}

function facts(status: Status, nowMs: number): string {
  const { ready, config, started, loaded } = processCells(status);
  const age = (cell: Cells[string] | undefined) => duration(nowMs - (cell?.[1] ?? nowMs));
  return `<dl class="facts" data-row="${rowKey.process}">
<div><dt>State</dt><dd data-cell="ready" data-state="${status.ready.ready ? 'ready' : 'not-ready'}">${safeHtml(ready![0])}</dd></div>
<div><dt>Up for</dt><dd data-cell="started" data-since="${started![1]}">${age(started)}</dd></div>
<div><dt>Workers</dt><dd>${status.workers}</dd></div>
<div><dt>Configuration</dt><dd><span data-cell="config" data-state="${config![0]}">${config![0]}</span> for <span data-cell="loaded" data-since="${loaded![1]}">${age(loaded)}</span></dd></div>
</dl>`;
}

const TILES = [
  ['services', 'Services'],
  ['endpoints', 'Endpoints'],
  ['rate', 'Requests per second'],
  ['connections', 'Client connections'],
  ['active', 'In flight'],
  ['errors', '5xx since the start'],
] as const;

function summary(cells: Cells): string {
  const tiles = TILES.map(
    ([key, label]) =>
      `<div><dt>${label}</dt><dd data-cell="${key}">${cells[key]?.[0] ?? ''}</dd></div>`,
  );
  return `<dl class="tiles" data-row="${rowKey.summary}">${tiles.join('')}</dl>`;
}

function registries(all: readonly RegistryStatus[]): string {
  const rows = all.map((registry) => {
    const cells = registryCells(registry);
    const shown = ['state', 'age', 'watches', 'errors', 'address'].map(
      (key) => `<td data-cell="${key}">${safeHtml(cells[key]?.[0] ?? '')}</td>`,
    );
    const isWell = registry.last_error === '' && registry.synced;
    return `<tr data-row="${rowKey.registry(registry.name)}" data-state="${isWell ? 'well' : 'unwell'}"><th scope="row">${safeHtml(registry.name)}</th>${shown.join('')}</tr>`;
  });
  const heads = ['Registry', 'State', 'Last answer', 'Watches', 'Errors', 'Asked at'];
  return `<section class="card registries"><div class="scroll"><table>
<caption><h2>Registries</h2></caption>
<thead><tr>${heads.map((head) => `<th scope="col">${head}</th>`).join('')}</tr></thead>
<tbody>${rows.join('')}</tbody>
</table></div></section>`;
}

function changes(events: readonly TableEvent[]): string {
  const heads = ['Time (UTC)', 'Service', 'Endpoint', 'Change', 'Why', 'Cause'];
  return `<section class="card changes"><div class="scroll"><table>
<caption><h2>Changes</h2> the newest first</caption>
<thead><tr>${heads.map((head) => `<th scope="col">${head}</th>`).join('')}</tr></thead>
<tbody id="changes">${events.map(change).join('')}</tbody>
</table></div></section>`;
}

function change(event: TableEvent): string {
  const { from, to, cause } = event;
  const time = new Date(event.atMs).toISOString();
  const step = `${from === '' ? 'new' : from} → ${to === '' ? 'gone' : to}`;
  const shown = [event.service, event.endpoint].map((text) => `<td>${safeHtml(text)}</td>`);
  return `<tr><td><time datetime="${time}">${clockTime(event.atMs)}</time></td>${shown.join('')}<td><span class="word" data-state="${safeHtml(to === '' ? 'gone' : to)}">${safeHtml(step)}</span></td><td>${safeHtml(event.reason)}</td><td>${safeHtml(`${cause.kind}: ${cause.text}`)}</td></tr>`;
}
