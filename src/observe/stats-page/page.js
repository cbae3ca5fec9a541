// @ts-check
// Keeps the dashboard live. The server sends the text of the cells that have changed (live.ts); this
// script puts it in place, writes durations, and sorts, filters and operates. When services or
// endpoints come or go it takes the parts that differ from a fresh page. A hidden tab asks for
// nothing.

/** @typedef {[shown: string, value?: number]} Cell */
/** @typedef {{ atMs: number, service: string, endpoint: string, from: string, to: string, reason: string, cause: { kind: string, text: string } }} Change */
/** @typedef {{ now: number, rows: Record<string, Record<string, Cell>>, changes?: Change[] }} Update */

const CHANGES_SHOWN = 50;
const NEWS_MAX = 3;
const UP = new Set(['up', 'slow-start']);

const filter = /** @type {HTMLInputElement} */ (find('#filter'));
const trouble = /** @type {HTMLInputElement} */ (find('#trouble'));
/** How each service's table is sorted. @type {Map<string, { key: string, isDown: boolean }>} */
const orders = new Map();
/** @type {Map<string, Element>} */
let rows = new Map();
/** The server's clock minus ours, ms. */
let ahead = 0;
/** @type {EventSource | null} */
let stream = null;
/** @type {Promise<void> | null} */
let reloading = null;

const given = new URLSearchParams(location.search);
filter.value = given.get('filter') ?? '';
trouble.checked = given.has('trouble');
find('.tools').removeAttribute('hidden');
// From here on the buttons do something.
document.documentElement.classList.add('scripted');
index();
applyFilter();
document.addEventListener('input', () => {
  const query = new URLSearchParams();
  if (filter.value !== '') query.set('filter', filter.value);
  if (trouble.checked) query.set('trouble', '');
  history.replaceState(null, '', query.size === 0 ? '/stats' : `/stats?${query}`);
  applyFilter();
});
document.addEventListener('submit', (event) => event.preventDefault());
document.addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.target instanceof HTMLInputElement) return;
  event.preventDefault();
  filter.focus();
});
document.addEventListener('click', ({ target }) => {
  if (!(target instanceof HTMLButtonElement)) return;
  if (target.dataset.verb !== undefined) void operate(target, target.dataset.verb);
  else sortBy(target);
});
document.addEventListener('visibilitychange', () => (document.hidden ? rest() : wake()));
setInterval(showDurations, 1000);
if (!document.hidden) wake();

function wake() {
  if (stream !== null) return;
  say('connecting', 'waiting');
  stream = new EventSource('/stats/live');
  // What came and went meanwhile is in the fresh page.
  stream.onopen = () => void reload();
  stream.onerror = () => say('no answer, trying again', 'bad');
  stream.addEventListener('cells', ({ data }) => {
    show(JSON.parse(data));
    say('live', 'good');
  });
  stream.addEventListener('layout', () => void reload());
}

function rest() {
  stream?.close();
  stream = null;
  say('paused', 'waiting');
}

/** Finds every row anew. */
function index() {
  rows = new Map(
    [...document.querySelectorAll('[data-row]')].map((row) => [
      row.getAttribute('data-row') ?? '',
      row,
    ]),
  );
}

/** @param {Update} update */
function show({ now, rows: changed, changes = [] }) {
  ahead = now - Date.now();
  for (const [key, cells] of Object.entries(changed)) {
    const row = rows.get(key);
    if (row !== undefined)
      for (const [name, cell] of Object.entries(cells)) setCell(row, name, cell);
  }
  showDurations();
  if (changes.length === 0) return;
  for (const change of changes) addChange(change);
  const texts = changes.map(
    ({ service, endpoint, to }) => `${service} ${endpoint}: ${to || 'gone'}`,
  );
  setText(find('#news'), texts.length > NEWS_MAX ? `${texts.length} changes` : texts.join('; '));
  applyFilter();
}

/**
 * @param {Element} row
 * @param {string} name
 * @param {Cell} cell
 */
function setCell(row, name, [shown, value]) {
  if (!(row instanceof HTMLTableRowElement) || row.closest('.registries') !== null) {
    setNamed(row, name, shown, value);
  } else if (name === 'reason') {
    setText(row.querySelector('.why'), shown);
  } else if (name === 'state') {
    const word = row.querySelector('.word');
    setText(word, shown);
    if (!row.classList.contains('endpoint')) return;
    row.dataset.state = shown;
    word?.setAttribute('data-state', shown);
  } else if (name !== 'endpoint') {
    const cell = row.cells[columnOf(row, name)];
    if (cell === undefined) return;
    if (name === 'since') cell.dataset.since = String(value);
    else setText(cell, shown);
    if (value === undefined) delete cell.dataset.value;
    else cell.dataset.value = String(value);
  }
}

/**
 * @param {Element} row
 * @param {string} name
 * @param {string} shown
 * @param {number | undefined} value
 */
function setNamed(row, name, shown, value) {
  const cell = row.querySelector(`[data-cell="${name}"]`);
  if (cell === null) return;
  if (name === 'trend') cell.setAttribute('points', shown);
  else if (cell.hasAttribute('data-since')) cell.setAttribute('data-since', String(value));
  else setText(cell, shown);
  if (name === 'up') cell.setAttribute('data-up', upOf(shown));
  if (name === 'ready') cell.setAttribute('data-state', shown === 'ready' ? 'ready' : 'not-ready');
  if (name === 'config') cell.setAttribute('data-state', shown);
  if (name === 'state') row.setAttribute('data-state', shown === 'in sync' ? 'well' : 'unwell');
}

/** @param {string} text */
function upOf(text) {
  if (!text.includes(' of ')) return 'none';
  const [up, all] = text.split(' of ').map((part) => Number.parseInt(part, 10));
  return up === 0 ? 'none' : up === all ? 'all' : 'some';
}

/**
 * @param {HTMLTableRowElement} row
 * @param {string} key
 */
function columnOf(row, key) {
  const head = row.closest('table')?.querySelector(`th[data-key="${key}"]`);
  return head instanceof HTMLTableCellElement ? head.cellIndex : -1;
}

function showDurations() {
  const now = Date.now() + ahead;
  for (const cell of document.querySelectorAll('[data-since]')) {
    setText(cell, duration(now - Number(cell.getAttribute('data-since'))));
  }
}

/** Takes from a fresh page the parts that are not as they are here. Once at a time. */
function reload() {
  reloading ??= takeFresh().finally(() => {
    reloading = null;
  });
  return reloading;
}

async function takeFresh() {
  const response = await fetch('/stats').catch(() => null);
  if (response === null || !response.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
  for (const part of ['#problems', '#changes', '.registries']) {
    const replacement = fresh.querySelector(part);
    if (replacement !== null) document.querySelector(part)?.replaceWith(replacement);
  }
  takeServices(find('#services'), fresh);
  index();
  applyFilter();
}

/**
 * Services that are the same keep their elements, and with them focus and scroll.
 * @param {Element} here
 * @param {Document} fresh
 */
function takeServices(here, fresh) {
  const old = new Map([...here.querySelectorAll('.service')].map((one) => [serviceOf(one), one]));
  const wanted = [...(fresh.querySelector('#services')?.children ?? [])].map((one) => {
    const known = old.get(serviceOf(one));
    return known !== undefined && layoutOf(known) === layoutOf(one) ? known : one;
  });
  if (wanted.every((one, i) => one === here.children[i]) && wanted.length === here.children.length)
    return;
  const focused = document.activeElement;
  here.replaceChildren(...wanted);
  // Elements that stayed lose the focus when they are put in place again.
  if (focused instanceof HTMLElement && here.contains(focused))
    focused.focus({ preventScroll: true });
  for (const one of wanted) sortRows(one);
}

/** @param {Element} section */
function layoutOf(section) {
  const keys = [...section.querySelectorAll('[data-row]')].map((row) =>
    row.getAttribute('data-row'),
  );
  return [section.querySelector('.where')?.textContent, ...keys.sort()].join('\n');
}

/** @param {Change} change */
function addChange({ atMs, service, endpoint, from, to, reason, cause }) {
  const row = document.createElement('tr');
  const time = document.createElement('time');
  time.dateTime = new Date(atMs).toISOString();
  time.textContent = time.dateTime.slice(11, 19);
  const word = document.createElement('span');
  word.className = 'word';
  word.dataset.state = to || 'gone';
  word.textContent = `${from || 'new'} → ${to || 'gone'}`;
  for (const content of [time, service, endpoint, word, reason, `${cause.kind}: ${cause.text}`]) {
    row.insertCell().append(content);
  }
  const list = find('#changes');
  list.prepend(row);
  while (list.children.length > CHANGES_SHOWN) list.lastElementChild?.remove();
}

/**
 * @param {HTMLButtonElement} button
 * @param {string} verb
 */
async function operate(button, verb) {
  const [service, endpoint] = (button.closest('tr')?.dataset.row ?? '').split('/');
  const name = `${decodeURIComponent(endpoint ?? '')} of ${decodeURIComponent(service ?? '')}`;
  if (verb !== 'ready' && !confirm(`${verb} ${name}?`)) return;
  button.disabled = true;
  try {
    const path = `/api/v1/services/${service}/endpoints/${endpoint}/${verb}`;
    const response = await fetch(path, { method: 'POST' });
    if (!response.ok) alert(`${verb} ${name}: ${(await response.json()).error}`);
  } catch {
    alert(`${verb} ${name}: no answer`);
  } finally {
    button.disabled = false;
  }
}

function applyFilter() {
  const wanted = filter.value.trim().toLowerCase();
  let shown = 0;
  const sections = document.querySelectorAll('.service');
  for (const section of sections) {
    const isNamed = (section.querySelector('h2')?.textContent ?? '').toLowerCase().includes(wanted);
    let matching = 0;
    for (const row of section.querySelectorAll('tr.endpoint')) {
      const isWell = UP.has(row.getAttribute('data-state') ?? '');
      const isWanted = isNamed || (row.textContent ?? '').toLowerCase().includes(wanted);
      const isShown = isWanted && !(trouble.checked && isWell);
      row.toggleAttribute('hidden', !isShown);
      if (isShown) matching += 1;
    }
    const isEmpty = section.querySelector('tr.endpoint') === null;
    const isShown = matching > 0 || (isNamed && (isEmpty || !trouble.checked));
    section.toggleAttribute('hidden', !isShown);
    if (isShown) shown += 1;
  }
  find('#none').toggleAttribute('hidden', shown > 0 || sections.length === 0);
}

/** @param {HTMLButtonElement} button */
function sortBy(button) {
  const section = button.closest('.service');
  const key = button.closest('th')?.dataset.key;
  if (section === null || key === undefined) return;
  const before = orders.get(serviceOf(section));
  orders.set(serviceOf(section), { key, isDown: before?.key === key ? !before.isDown : false });
  sortRows(section);
}

/** @param {Element} section */
function sortRows(section) {
  const order = orders.get(serviceOf(section));
  const body = section.querySelector('.endpoints');
  if (order === undefined || body === null) return;
  for (const head of section.querySelectorAll('th[data-key]')) {
    if (head.getAttribute('data-key') !== order.key) head.removeAttribute('aria-sort');
    else head.setAttribute('aria-sort', order.isDown ? 'descending' : 'ascending');
  }
  const sign = order.isDown ? -1 : 1;
  const keyed = [...body.querySelectorAll('tr')].map((row) => ({
    row,
    value: sortValue(row, order.key),
  }));
  keyed.sort((a, b) => sign * compare(a.value, b.value));
  body.append(...keyed.map(({ row }) => row));
}

/**
 * Numbers by size, longest state first; everything else as text, numbers in it by size.
 * @param {string | number} a
 * @param {string | number} b
 */
function compare(a, b) {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a).localeCompare(String(b), 'en', { numeric: true });
}

/**
 * @param {HTMLTableRowElement} row
 * @param {string} key
 */
function sortValue(row, key) {
  const cell = row.cells[columnOf(row, key)];
  if (cell === undefined) return '';
  const { value, since } = cell.dataset;
  if (value !== undefined && since === undefined) return Number(value);
  if (since !== undefined) return -Number(since);
  const shown = cell.textContent ?? '';
  return shown !== '' && Number.isFinite(Number(shown)) ? Number(shown) : shown;
}

/** @param {Element} section */
function serviceOf(section) {
  return section.getAttribute('data-service') ?? '';
}

/**
 * The same as in text.ts.
 * @param {number} ms
 */
function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${seconds % 60}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h ${minutes % 60}m`;
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

/**
 * @param {Element | null} element
 * @param {string} text
 */
function setText(element, text) {
  if (element !== null && element.textContent !== text) element.textContent = text;
}

/**
 * @param {string} text
 * @param {string} state
 */
function say(text, state) {
  const link = find('#link');
  setText(link, text);
  link.setAttribute('data-state', state);
}

/** @param {string} selector */
function find(selector) {
  const found = document.querySelector(selector);
  if (found === null) throw new Error(`the page has no ${selector}`);
  return found;
}
