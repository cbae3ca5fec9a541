// The dashboard: rendered whole by the server, so that it is of use in curl and without scripts; the
// script of stats-page/ then keeps it live.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { TableEvent } from '../control/view.ts';
import type { EndpointFigures, ServiceFigures } from './figures.ts';

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

export interface PageData {
  readonly status: {
    readonly version: string;
    readonly uptime_seconds: number;
    readonly workers: number;
    readonly live: { readonly ok: boolean; readonly reason: string };
    readonly ready: { readonly ready: boolean; readonly reason: string };
    readonly config: { readonly error: string };
    readonly problems: readonly string[];
    readonly registries: readonly {
      readonly name: string;
      readonly address: string;
      readonly synced: boolean;
      readonly sync_age_seconds: number;
      readonly last_error: string;
    }[];
  };
  readonly services: readonly ServiceFigures[];
  /** Newest first. */
  readonly events: readonly TableEvent[];
  readonly mayOperate: boolean;
  readonly nowMs: number;
}

export function renderPage(data: PageData): string {
  const { status, services, mayOperate } = data;
  return `<!doctype html>
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
<body data-operate="${mayOperate}">
<header>
<h1>Upriver</h1>
<p class="facts">
<span>${escapeHtml(status.version)}</span>
<span>up <b data-cell="uptime">${duration(status.uptime_seconds)}</b></span>
<span>${status.workers} ${status.workers === 1 ? 'worker' : 'workers'}</span>
<span data-cell="ready" class="${status.ready.ready ? 'good' : 'bad'}">${status.ready.ready ? 'ready' : `not ready: ${escapeHtml(status.ready.reason)}`}</span>
</p>
<label class="filter">Filter <input type="search" id="filter" placeholder="service or endpoint" autocomplete="off"></label>
<span id="link" class="link" role="status">not live</span>
</header>
<main>
${problems(data)}
<section aria-label="Registries" class="registries">${status.registries.map(registry).join('')}</section>
<div id="services">${services.length === 0 ? '<p class="empty">No service yet.</p>' : services.map((one) => service(one, data)).join('\n')}</div>
<section class="events" aria-labelledby="events-title">
<h2 id="events-title">Changes</h2>
<ol id="events" aria-live="polite">${data.events.map(event).join('')}</ol>
</section>
</main>
<footer><a href="/metrics">metrics</a> <a href="/stats;csv">csv</a> <a href="/api/v1/services">api</a> <a href="/api/v1/events?format=json">events</a></footer>
</body>
</html>
`;
}

function problems({ status, services }: PageData): string {
  const texts = [
    ...(status.live.ok ? [] : [status.live.reason]),
    ...(status.config.error === '' ? [] : [`configuration refused: ${status.config.error}`]),
    ...status.problems,
    ...services.flatMap((one) => one.problems.map((text) => `${one.name}: ${text}`)),
  ];
  const items = [...new Set(texts)].map((text) => `<li>${escapeHtml(text)}</li>`).join('');
  return `<ul id="problems" class="problems" role="alert">${items}</ul>`;
}

function registry(one: PageData['status']['registries'][number]): string {
  const state =
    one.last_error === '' ? (one.synced ? 'in sync' : 'first answer awaited') : one.last_error;
  return `<p data-registry="${escapeHtml(one.name)}" class="${one.last_error === '' ? 'good' : 'bad'}"><b>${escapeHtml(one.name)}</b> ${escapeHtml(one.address)} <span data-cell="state">${escapeHtml(state)}</span>, last answer <span data-cell="age">${one.sync_age_seconds.toFixed(1)}</span> s ago</p>`;
}

const COLUMNS = [
  ['endpoint', 'Endpoint', ''],
  ['state', 'State', ''],
  ['since', 'Since', 'for how long it has been in this state'],
  ['weight', 'Weight', ''],
  ['active', 'Active', 'requests in flight now'],
  ['requests', 'Requests', 'attempts sent to it, retries included'],
  ['rate', 'Rate', 'requests per second'],
  ['failures', 'Failures', 'attempts that failed by its fault'],
  ['retries', 'Retried', 'failed attempts that were made again elsewhere'],
  ['r5xx', '5xx', 'responses with status 500 to 599'],
  ['p50', 'p50 ms', 'half of its responses began within'],
  ['p99', 'p99 ms', '99 of 100 of its responses began within'],
  ['check', 'Last check', ''],
] as const;

function service(one: ServiceFigures, data: PageData): string {
  const heads = COLUMNS.map(
    ([key, name, title]) =>
      `<th scope="col" data-key="${key}"${title === '' ? '' : ` title="${title}"`}><button type="button">${name}</button></th>`,
  ).join('');
  const rows = one.endpoints.map((endpoint) => endpointRow(endpoint, data)).join('\n');
  const listen = one.listen.length === 0 ? 'behind a router' : one.listen.join(' ');
  const up = one.endpoints.filter(({ state }) => state === 'up' || state === 'slow-start').length;
  return `<section class="service" data-service="${escapeHtml(one.name)}">
<div class="scroll"><table>
<caption><b>${escapeHtml(one.name)}</b> <span>${escapeHtml(listen)}</span> <span>${one.protocol}</span> <span>${one.balance}</span> <span data-cell="up" class="${up === 0 ? 'bad' : 'good'}">${up} of ${one.endpoints.length} up</span> <span><span data-cell="connections">${one.connections}</span> connections</span> <span><span data-cell="requests">${one.requests}</span> requests</span> <span>p99 <span data-cell="p99">${one.latency_ms.p99.toFixed(1)}</span> ms</span></caption>
<thead><tr>${heads}${data.mayOperate ? '<th scope="col" class="act">Actions</th>' : ''}</tr></thead>
<tbody>${rows === '' ? emptyRow(data) : rows}</tbody>
</table></div>
</section>`;
}

function emptyRow(data: PageData): string {
  const span = COLUMNS.length + (data.mayOperate ? 1 : 0);
  return `<tr class="none"><td colspan="${span}">No endpoint is registered: requests are answered with 503.</td></tr>`;
}

function endpointRow(one: EndpointFigures, data: PageData): string {
  const cells: Record<string, string> = {
    state: `<span class="state ${one.state}">${one.state}</span> <span class="reason">${escapeHtml(one.reason)}</span>`,
    since: duration((data.nowMs - one.since) / 1000),
    weight: String(one.weight),
    active: String(one.active),
    requests: String(one.requests),
    rate: '',
    failures: String(one.failures),
    retries: String(one.retries),
    r5xx: String(one.responses['5xx']),
    p50: one.latency_ms.p50.toFixed(1),
    p99: one.latency_ms.p99.toFixed(1),
    check:
      one.check === null
        ? 'none'
        : `${escapeHtml(one.check.text)} (${one.check.duration_ms.toFixed(1)} ms)`,
  };
  const columns = COLUMNS.slice(1).map(
    ([key]) => `<td data-cell="${key}">${cells[key] ?? ''}</td>`,
  );
  const actions = data.mayOperate
    ? `<td class="act">${['drain', 'ready', 'maint'].map((verb) => `<button type="button" data-verb="${verb}">${verb}</button>`).join('')}</td>`
    : '';
  return `<tr data-endpoint="${escapeHtml(one.id)}" class="is-${one.state}"><th scope="row">${escapeHtml(one.id)}<small>${escapeHtml(one.address)}:${one.port}</small></th>${columns.join('')}${actions}</tr>`;
}

function event(one: TableEvent): string {
  const time = new Date(one.atMs).toISOString();
  const change = [one.from === '' ? 'new' : one.from, one.to === '' ? 'gone' : one.to].join(' → ');
  return `<li><time datetime="${time}">${time.slice(11, 19)}</time> <b>${escapeHtml(one.service)}</b> ${escapeHtml(one.endpoint)} <span class="state ${one.to}">${escapeHtml(change)}</span> <span class="reason">${escapeHtml(one.reason)}</span> <span class="cause">${escapeHtml(`${one.cause.kind}: ${one.cause.text}`)}</span></li>`;
}

/** Seconds as people read them: 42s, 3m 10s, 5h 2m, 12d 3h. */
function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${whole % 60}s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h ${Math.floor((whole % 3600) / 60)}m`;
  return `${Math.floor(whole / 86_400)}d ${Math.floor((whole % 86_400) / 3600)}h`;
}

function escapeHtml(text: string): string {
  return text.replace(
    /[&<>"']/g,
    (mark) =>
      ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[mark] ?? mark,
  );
}
