// @ts-check
// Keeps the dashboard live: figures once a second, changes as they happen. It only changes the text
// of cells that the server rendered; when an endpoint comes or goes the page is loaded anew, in
// place. A hidden tab asks for nothing.

const REFRESH_MS = 1000;
const link = find('#link');
const filter = /** @type {HTMLInputElement} */ (find('#filter'));

/** Requests and time at the last refresh, by service and endpoint, for rates. */
/** @type {Map<string, { requests: number, at: number }>} */
const before = new Map();

/** @type {{ key: string, isDown: boolean } | null} */
let order = null;
/** @type {EventSource | null} */
let events = null;

filter.value = new URLSearchParams(location.search).get('filter') ?? '';
filter.addEventListener('input', () => {
  const query = filter.value === '' ? '' : `?filter=${encodeURIComponent(filter.value)}`;
  history.replaceState(null, '', `/stats${query}`);
  applyFilter();
});
document.addEventListener('keydown', (event) => {
  if (event.key !== '/' || document.activeElement === filter) return;
  event.preventDefault();
  filter.focus();
});
document.addEventListener('click', (event) => {
  if (!(event.target instanceof HTMLButtonElement)) return;
  const { verb } = event.target.dataset;
  const head = event.target.closest('th[data-key]');
  if (verb !== undefined) void operate(event.target, verb);
  else if (head instanceof HTMLElement) sortBy(head.dataset.key ?? '');
});
document.addEventListener('visibilitychange', () => (document.hidden ? rest() : wake()));
applyFilter();
wake();
setInterval(() => {
  if (!document.hidden) void refresh();
}, REFRESH_MS);

function wake() {
  events ??= listen();
  void refresh();
}

function rest() {
  events?.close();
  events = null;
}

function listen() {
  const source = new EventSource('/api/v1/events');
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    addEvent(event);
    if (event.from === '' || event.to === '') void reload();
    else void refresh();
  };
  return source;
}

async function refresh() {
  try {
    const [services, status] = await Promise.all([
      fetchJson('/api/v1/services'),
      fetchJson('/api/v1/status'),
    ]);
    const shown = [...document.querySelectorAll('[data-service]')].map(nameOf).join('\0');
    if (shown !== services.map((/** @type {any} */ one) => one.name).join('\0')) await reload();
    for (const service of services) showService(service);
    showStatus(status);
    sortRows();
    say('live', 'good');
  } catch {
    say('no answer', 'bad');
  }
}

/** @param {any} service */
function showService(service) {
  const section = document.querySelector(`[data-service="${CSS.escape(service.name)}"]`);
  if (section === null) return;
  const up = service.endpoints.filter(
    (/** @type {any} */ one) => one.state === 'up' || one.state === 'slow-start',
  ).length;
  const caption = section.querySelector('caption') ?? section;
  setCell(caption, 'up', `${up} of ${service.endpoints.length} up`, up === 0 ? 'bad' : 'good');
  setCell(caption, 'connections', String(service.connections));
  setCell(caption, 'requests', String(service.requests));
  setCell(caption, 'p99', service.latency_ms.p99.toFixed(1));
  for (const endpoint of service.endpoints) showEndpoint(section, service.name, endpoint);
}

/**
 * @param {Element} section
 * @param {string} service
 * @param {any} one
 */
function showEndpoint(section, service, one) {
  const row = section.querySelector(`tr[data-endpoint="${CSS.escape(one.id)}"]`);
  if (row === null) return;
  row.className = `is-${one.state}`;
  const state = row.querySelector('.state');
  const reason = row.querySelector('td .reason');
  if (state !== null) {
    state.className = `state ${one.state}`;
    setText(state, one.state);
  }
  if (reason !== null) setText(reason, one.reason);
  setCell(row, 'since', duration((Date.now() - one.since) / 1000));
  setCell(row, 'weight', String(one.weight));
  setCell(row, 'active', String(one.active));
  setCell(row, 'requests', String(one.requests));
  setCell(row, 'rate', rateOf(`${service}\0${one.id}`, one.requests));
  setCell(row, 'failures', String(one.failures));
  setCell(row, 'retries', String(one.retries));
  setCell(row, 'r5xx', String(one.responses['5xx']));
  setCell(row, 'p50', one.latency_ms.p50.toFixed(1));
  setCell(row, 'p99', one.latency_ms.p99.toFixed(1));
  const { check } = one;
  setCell(
    row,
    'check',
    check === null ? 'none' : `${check.text} (${check.duration_ms.toFixed(1)} ms)`,
  );
}

/** @param {any} status */
function showStatus(status) {
  setCell(document.body, 'uptime', duration(status.uptime_seconds));
  const { ready, reason } = status.ready;
  setCell(document.body, 'ready', ready ? 'ready' : `not ready: ${reason}`, ready ? 'good' : 'bad');
  for (const registry of status.registries) {
    const line = document.querySelector(`[data-registry="${CSS.escape(registry.name)}"]`);
    if (line === null) continue;
    const inSync = registry.synced ? 'in sync' : 'first answer awaited';
    line.className = registry.last_error === '' ? 'good' : 'bad';
    setCell(line, 'state', registry.last_error === '' ? inSync : registry.last_error);
    setCell(line, 'age', registry.sync_age_seconds.toFixed(1));
  }
}

/** Takes the parts that come and go from a page that the server renders now. */
async function reload() {
  const response = await fetch(location.href);
  const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
  for (const id of ['services', 'problems']) {
    const replacement = fresh.getElementById(id);
    if (replacement !== null) document.getElementById(id)?.replaceWith(replacement);
  }
  applyFilter();
  sortRows();
}

/** @param {any} event */
function addEvent(event) {
  const item = document.createElement('li');
  const time = document.createElement('time');
  time.dateTime = new Date(event.atMs).toISOString();
  time.textContent = time.dateTime.slice(11, 19);
  item.append(time, ' ', element('b', '', event.service), ' ', event.endpoint, ' ');
  const change = `${event.from || 'new'} → ${event.to || 'gone'}`;
  item.append(element('span', `state ${event.to}`, change), ' ');
  item.append(element('span', 'reason', event.reason), ' ');
  item.append(element('span', 'cause', `${event.cause.kind}: ${event.cause.text}`));
  const list = find('#events');
  list.prepend(item);
  while (list.children.length > 50) list.lastElementChild?.remove();
}

/**
 * @param {HTMLButtonElement} button
 * @param {string} verb
 */
async function operate(button, verb) {
  const service = nameOf(button.closest('[data-service]'));
  const endpoint = button.closest('tr')?.dataset.endpoint ?? '';
  if (verb !== 'ready' && !confirm(`${verb} ${endpoint} of ${service}?`)) return;
  const path = `/api/v1/services/${encodeURIComponent(service)}/endpoints/${encodeURIComponent(endpoint)}/${verb}`;
  const response = await fetch(path, { method: 'POST' });
  if (!response.ok) say((await response.json()).error, 'bad');
  else void refresh();
}

function applyFilter() {
  const wanted = filter.value.trim().toLowerCase();
  for (const section of document.querySelectorAll('[data-service]')) {
    const isNamed = nameOf(section).toLowerCase().includes(wanted);
    let hasRow = false;
    for (const row of section.querySelectorAll('tr[data-endpoint]')) {
      const isShown = isNamed || (row.textContent ?? '').toLowerCase().includes(wanted);
      row.toggleAttribute('hidden', !isShown);
      hasRow ||= isShown;
    }
    section.toggleAttribute('hidden', !isNamed && !hasRow);
  }
}

/** @param {string} key */
function sortBy(key) {
  order = { key, isDown: order?.key === key ? !order.isDown : false };
  sortRows();
}

function sortRows() {
  if (order === null) return;
  const { key, isDown } = order;
  for (const head of document.querySelectorAll('th[data-key]')) {
    if (!(head instanceof HTMLElement)) continue;
    if (head.dataset.key !== key) head.removeAttribute('aria-sort');
    else head.setAttribute('aria-sort', isDown ? 'descending' : 'ascending');
  }
  for (const body of document.querySelectorAll('tbody')) {
    const rows = [...body.querySelectorAll('tr[data-endpoint]')];
    const sorted = [...rows].sort(
      (a, b) => (isDown ? -1 : 1) * compare(cellText(a, key), cellText(b, key)),
    );
    if (sorted.some((row, i) => row !== rows[i])) body.append(...sorted);
  }
}

/**
 * @param {string} a
 * @param {string} b
 */
function compare(a, b) {
  const [x, y] = [Number.parseFloat(a), Number.parseFloat(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
}

/**
 * @param {Element} row
 * @param {string} key
 */
function cellText(row, key) {
  const cell =
    key === 'endpoint' ? row.querySelector('th') : row.querySelector(`[data-cell="${key}"]`);
  return cell?.textContent ?? '';
}

/**
 * @param {string} key
 * @param {number} requests
 */
function rateOf(key, requests) {
  const at = performance.now();
  const last = before.get(key);
  before.set(key, { requests, at });
  if (last === undefined || at - last.at < REFRESH_MS / 2) return '';
  return String(Math.max(0, Math.round((requests - last.requests) / ((at - last.at) / 1000))));
}

/**
 * @param {Element} within
 * @param {string} name
 * @param {string} text
 * @param {string} [style]
 */
function setCell(within, name, text, style) {
  const cell = within.querySelector(`[data-cell="${name}"]`);
  if (cell === null) return;
  setText(cell, text);
  if (style !== undefined) cell.className = style;
}

/**
 * @param {Element} cell
 * @param {string} text
 */
function setText(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}

/**
 * @param {string} tag
 * @param {string} style
 * @param {string} text
 */
function element(tag, style, text) {
  const made = document.createElement(tag);
  made.className = style;
  made.textContent = text;
  return made;
}

/** @param {Element | null} section */
function nameOf(section) {
  return section instanceof HTMLElement ? (section.dataset.service ?? '') : '';
}

/** @param {number} seconds */
function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${whole % 60}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h ${Math.floor((whole % 3600) / 60)}m`;
  return `${Math.floor(whole / 86400)}d ${Math.floor((whole % 86400) / 3600)}h`;
}

/**
 * @param {string} text
 * @param {string} style
 */
function say(text, style) {
  setText(link, text);
  link.className = `link ${style}`;
}

/** @param {string} path */
async function fetchJson(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

/** @param {string} selector */
function find(selector) {
  const found = document.querySelector(selector);
  if (found === null) throw new Error(`the page has no ${selector}`);
  return found;
}
