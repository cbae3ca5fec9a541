// One service in the dashboard: a table with a row for its clients, one per endpoint and the sum.
import { formatHostPort } from '../base/host-text.ts';
import { safeHtml } from '../base/safe-text.ts';
import type { Steps } from '../base/turns.ts';
import {
  type Cell,
  type Cells,
  type Column,
  clientCells,
  columnsOf,
  endpointCells,
  totalCells,
  upText,
} from './cells.ts';
import type { EndpointFigures } from './figures.ts';
import { rowKey, type ShownService, trendPoints } from './page-model.ts';
import { duration } from './text.ts';
import { type Totals, totalsOf } from './totals.ts';

/** Columns that hold no number. */
const WORDS: ReadonlySet<string> = new Set(['state', 'check']);

interface Shown {
  /** Where each endpoint comes from is shown. */
  readonly hasSources: boolean;
  readonly columns: readonly Column[];
  /** The class attribute of each column, by key. */
  readonly styles: ReadonlyMap<string, string>;
  readonly mayOperate: boolean;
  readonly nowMs: number;
}

/** `mayOperate` adds the buttons of the operator. */
export function* sectionSteps(
  service: ShownService,
  { mayOperate, nowMs }: { readonly mayOperate: boolean; readonly nowMs: number },
): Steps {
  const { figures } = service;
  const { name, endpoints } = figures;
  const columns = columnsOf(figures);
  const styles = new Map(columns.map(({ key }) => [key, classOf(key, columns)]));
  const hasSources = figures.sources.length > 1;
  const shown: Shown = { hasSources, columns, styles, mayOperate, nowMs };
  const key = rowKey.service(name);
  yield `<section class="card service" data-service="${key}" aria-labelledby="${key}">
<div class="scroll"><table>
<caption>${caption(service)}</caption>
${heads(shown)}
<tbody>${row({ key: rowKey.clients(name), kind: 'clients', cells: clientCells(figures) }, shown)}</tbody>
<tbody class="endpoints">${endpoints.length === 0 ? emptyRow(shown) : ''}`;
  for (const [i, endpoint] of endpoints.entries()) {
    yield `${i > 0 ? '\n' : ''}${endpointRow(name, endpoint, shown)}`;
  }
  yield `</tbody>
<tfoot>${row({ key: rowKey.total(name), kind: 'total', cells: totalCells(figures) }, shown)}</tfoot>
</table></div>
</section>`;
}

function caption({ figures, trend }: ShownService): string {
  const { name, listen, protocol, balance, registry } = figures;
  const totals = totalsOf(figures);
  const where = listen.length === 0 ? 'behind a router' : listen.join(', ');
  const key = rowKey.service(name);
  return `<div class="about" data-row="${key}"><h2 id="${key}">${safeHtml(name)}</h2>
<span class="where">${safeHtml(where)}</span> <span>${protocol}</span> <span>${balance}</span> <span>from ${safeHtml(registry)}</span>
<span class="up" data-cell="up" data-up="${upOf(totals)}">${upText(totals)}</span>
<svg class="trend" viewBox="0 0 60 16" preserveAspectRatio="none" aria-hidden="true"><polyline data-cell="trend" points="${trendPoints(trend)}"/></svg></div>`;
}

function upOf({ up, endpoints }: Totals): 'none' | 'some' | 'all' {
  if (up === 0) return 'none';
  return up < endpoints ? 'some' : 'all';
}

function heads({ columns, styles, mayOperate }: Shown): string {
  const groups = columns.reduce<{ name: string; span: number }[]>((all, { group }) => {
    const last = all.at(-1);
    if (last !== undefined && last.name === group) last.span += 1;
    else all.push({ name: group, span: 1 });
    return all;
  }, []);
  const first = groups.map(({ name, span }) =>
    name === ''
      ? `<td colspan="${span}"></td>`
      : `<th scope="colgroup" colspan="${span}">${name}</th>`,
  );
  const second = columns.map(({ key, group, label, title }) => {
    const words = group === '' || group === 'Health' ? label : `${group}: ${label}`;
    const spoken = [words, title].filter((text) => text !== '').join(', ');
    return `<th scope="col" data-key="${key}"${styles.get(key) ?? ''}><button type="button" title="${spoken}">${label}</button></th>`;
  });
  const actions = mayOperate ? '<th scope="col" class="act">Operator</th>' : '';
  return `<thead><tr class="groups">${first.join('')}${mayOperate ? '<td class="act"></td>' : ''}</tr>
<tr>${second.join('')}${actions}</tr></thead>`;
}

/** Columns of words stand on the left; groups are set apart by a line. */
function classOf(key: string, columns: readonly Column[]): string {
  const at = columns.findIndex((column) => column.key === key);
  const isEdge = at > 0 && columns[at]!.group !== columns[at - 1]!.group;
  const classes = [...(isEdge ? ['edge'] : []), ...(WORDS.has(key) ? ['text', key] : [])];
  return classes.length === 0 ? '' : ` class="${classes.join(' ')}"`;
}

function emptyRow({ columns, mayOperate }: Shown): string {
  const span = columns.length + (mayOperate ? 1 : 0);
  return `<tr class="none"><td colspan="${span}">No endpoint is registered: requests are answered with 503.</td></tr>`;
}

function endpointRow(service: string, one: EndpointFigures, shown: Shown): string {
  const address = formatHostPort(one.address, one.port);
  return row(
    {
      key: rowKey.endpoint(service, one.id),
      kind: 'endpoint',
      cells: endpointCells(one),
      detail: [one.id === address ? '' : address, ...(shown.hasSources ? [provenance(one)] : [])]
        .filter((part) => part !== '')
        .join(', '),
    },
    shown,
  );
}

/** The sources that name it: `static web + consul web`. */
function provenance({ sources }: EndpointFigures): string {
  return sources.map(({ source }) => source).join(' + ');
}

interface Row {
  readonly key: string;
  readonly kind: 'clients' | 'endpoint' | 'total';
  readonly cells: Cells;
  readonly detail?: string;
}

function row({ key, kind, cells, detail = '' }: Row, shown: Shown): string {
  const [name] = cells.endpoint ?? [''];
  const [state] = cells.state ?? [''];
  const small = detail === '' ? '' : `<small>${safeHtml(detail)}</small>`;
  const tds = shown.columns.slice(1).map((column) => {
    if (column.key === 'state') return stateCell(state, cells.reason?.[0] ?? '');
    return td(column.key, cells[column.key] ?? [''], {
      style: shown.styles.get(column.key) ?? '',
      nowMs: shown.nowMs,
    });
  });
  const actions = shown.mayOperate
    ? `<td class="act">${kind === 'endpoint' ? buttons(name) : ''}</td>`
    : '';
  return `<tr class="${kind}" data-row="${key}" data-state="${kind === 'endpoint' ? state : kind}"><th scope="row">${safeHtml(name)}${small}</th>${tds.join('')}${actions}</tr>`;
}

function stateCell(state: string, reason: string): string {
  return `<td class="text state"><span class="word" data-state="${state}">${state}</span> <span class="why">${safeHtml(reason)}</span></td>`;
}

function td(
  key: string,
  [shown, value]: Cell,
  { style, nowMs }: { readonly style: string; readonly nowMs: number },
): string {
  if (key === 'since' && value !== undefined) {
    return `<td data-since="${value}">${duration(nowMs - value)}</td>`;
  }
  const sorted = value === undefined ? '' : ` data-value="${value}"`;
  return `<td${style}${sorted}>${safeHtml(shown)}</td>`;
}

function buttons(endpoint: string): string {
  return ['drain', 'maint', 'ready']
    .map(
      (verb) =>
        `<button type="button" data-verb="${verb}" aria-label="${verb} ${safeHtml(endpoint)}">${verb}</button>`,
    )
    .join('');
}
