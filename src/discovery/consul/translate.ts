// What Consul's health answers mean for us: pure. One entry is one instance with its node and all
// its checks (Consul API, /v1/health/service/:service). Every field is looked at before it is used:
// one odd instance is left out, and spoils nothing for the others.
import { BOUNDS } from '../../model/bounds.ts';
import type { RegistryStatus } from '../../model/endpoint.ts';
import type { ServiceSettings } from '../provider.ts';
import { ConsulError } from './answer.ts';

/** An instance before its address is resolved. */
export interface Instance {
  readonly id: string;
  /** IP address or host name. */
  readonly host: string;
  readonly port: number;
  readonly weight: number;
  readonly status: RegistryStatus;
  readonly statusText: string;
}

/** Settings that a service gives itself, and keys about which its instances disagree. */
export interface SelfDescription {
  readonly settings: ServiceSettings | null;
  /** "balance: random (2), ewma (1)": the value that is used first. */
  readonly conflicts: readonly string[];
}

export interface Check {
  readonly Node?: string;
  readonly CheckID?: string;
  readonly Name?: string;
  readonly Status?: string;
  readonly Output?: string;
  readonly Notes?: string;
  readonly ServiceName?: string;
  readonly ModifyIndex?: number;
}

export interface Entry {
  readonly Node?: { readonly Node?: string; readonly Address?: string } | null;
  readonly Service?: {
    readonly ID?: string;
    readonly Address?: string;
    readonly Port?: number;
    readonly Tags?: readonly string[] | null;
    readonly Meta?: Readonly<Record<string, string>> | null;
    readonly Weights?: { readonly Passing?: number; readonly Warning?: number } | null;
    readonly ModifyIndex?: number;
  } | null;
  readonly Checks?: readonly Check[] | null;
}

const TEXT_MAX = 200;
const READ_MAX = BOUNDS.consulOutput.max;
/** The one setting that concerns an instance and not its service. */
const WEIGHT = 'weight';
const SEVERITY: readonly RegistryStatus[] = ['passing', 'warning', 'critical', 'maintenance'];

/** A list of objects; what is no object is left out. Throws ConsulError for anything else. */
export function listOf<T extends object>(body: unknown): readonly T[] {
  if (!Array.isArray(body)) throw new ConsulError('not-a-list', 'answered JSON that is no list');
  // Consul's own shape; every field is optional in T.
  return body.filter((one) => typeof one === 'object' && one !== null) as T[];
}

/**
 * The instances of a health answer, sorted by id. Entries that are no instance are left out. A tag
 * `PREFIX.weight=N` (or Meta `PREFIX-weight`) is the weight of its instance alone.
 */
export function instancesOf(entries: readonly Entry[], prefix: string): Instance[] {
  return entries
    .flatMap((entry) => translated(entry, prefix).instance ?? [])
    .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

/**
 * The settings that a service gives itself: tags `PREFIX.key=value` and Meta `PREFIX-key` (Meta
 * first). Where instances differ, the value that most of them have wins; among equals the one of
 * the instance that was changed last, then the lowest.
 */
export function settingsOf(entries: readonly Entry[], prefix: string): SelfDescription {
  const votes = new Map<string, Map<string, Vote>>();
  for (const entry of entries) {
    const changed = entry.Service?.ModifyIndex ?? 0;
    for (const [key, value] of translated(entry, prefix).settings) {
      if (key === WEIGHT) continue;
      const values = votes.get(key) ?? new Map<string, Vote>();
      const { count = 0, newest = 0 } = values.get(value) ?? {};
      votes.set(key, values.set(value, { count: count + 1, newest: Math.max(newest, changed) }));
    }
  }
  const settings: Record<string, string> = {};
  const conflicts: string[] = [];
  for (const [key, values] of [...votes].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const ranked = [...values].sort(byRank);
    settings[key] = ranked[0]![0];
    const told = ranked.map(([value, { count }]) => `${value} (${count})`).join(', ');
    if (ranked.length > 1) conflicts.push(`${key}: ${told}`);
  }
  return { settings: votes.size === 0 ? null : settings, conflicts };
}

/** The ids of the instances of a health answer. */
export function idsOf(entries: readonly Entry[]): Set<string> {
  return new Set(entries.flatMap((entry) => known.get(entry)?.instance?.id ?? idOf(entry) ?? []));
}

/** Translates an entry as it arrives, so that it need not be done for all of them at one go. */
export function translateEarly(entry: unknown, prefix: string): void {
  if (typeof entry === 'object' && entry !== null) translated(entry, prefix);
}

interface Translated {
  readonly prefix: string;
  readonly instance: Instance | null;
  readonly settings: readonly (readonly [string, string])[];
}

/** An answer is looked at several times, and its entries do not change. */
const known = new WeakMap<Entry, Translated>();

function translated(entry: Entry, prefix: string): Translated {
  const before = known.get(entry);
  if (before?.prefix === prefix) return before;
  const settings = Object.entries(settingsOfEntry(entry, prefix));
  const made = { prefix, instance: instanceOf(entry, prefix), settings };
  known.set(entry, made);
  return made;
}

function idOf(entry: Entry): string | null {
  return instanceOf(entry, '')?.id ?? null;
}

interface Vote {
  readonly count: number;
  readonly newest: number;
}

function byRank(a: [string, Vote], b: [string, Vote]): number {
  return b[1].count - a[1].count || b[1].newest - a[1].newest || (a[0] < b[0] ? -1 : 1);
}

function instanceOf(entry: Entry, prefix: string): Instance | null {
  const { Node, Service, Checks } = entry;
  const host = hostOf(Service?.Address) || hostOf(Node?.Address);
  const port = Service?.Port;
  const serviceId = Service?.ID ?? '';
  if (host === '' || serviceId === '' || !isPort(port)) return null;
  const checks = Array.isArray(Checks) ? Checks : [];
  const { status, text } = worstOf(checks);
  const weight = instanceWeight(entry, { prefix, isWarning: status === 'warning' });
  return { id: `${Node?.Node ?? ''}/${serviceId}`, host, port, weight, status, statusText: text };
}

function hostOf(address: unknown): string {
  return typeof address === 'string' ? address.trim().replace(/^\[(.*)\]$/, '$1') : '';
}

function isPort(port: unknown): port is number {
  return typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65535;
}

/** A weight among the instance's own settings goes before Consul's; a warning can only lessen it. */
function instanceWeight(
  entry: Entry,
  { prefix, isWarning }: { readonly prefix: string; readonly isWarning: boolean },
): number {
  const { Passing, Warning } = entry.Service?.Weights ?? {};
  const told = settingsOfEntry(entry, prefix)[WEIGHT];
  const value = told !== undefined && /^\d+(\.\d+)?$/.test(told) ? Number(told) : Number.NaN;
  const own = Number.isFinite(value) ? value : null;
  if (own === null) return weightOf(isWarning ? Warning : Passing);
  return isWarning ? Math.min(own, weightOf(Warning)) : own;
}

/** 1 where nothing usable is said; 0 means no new work. */
function weightOf(weight: unknown): number {
  return typeof weight === 'number' && Number.isFinite(weight) && weight >= 0 ? weight : 1;
}

/** The worst of the checks, of the instance and of its node; the first of equals tells why. */
function worstOf(checks: readonly Check[]): { status: RegistryStatus; text: string } {
  let worst: RegistryStatus = 'passing';
  let text = '';
  for (const check of checks) {
    const status = statusOf(check);
    if (SEVERITY.indexOf(status) <= SEVERITY.indexOf(worst)) continue;
    worst = status;
    text = textOf(check, status);
  }
  return { status: worst, text };
}

/** Maintenance is a critical check with a name of its own. */
function statusOf({ CheckID = '', Status = '' }: Check): RegistryStatus {
  const isMaintenance =
    CheckID === '_node_maintenance' || CheckID.startsWith('_service_maintenance');
  if (isMaintenance && Status === 'critical') return 'maintenance';
  if (Status === 'passing' || Status === 'warning') return Status;
  return 'critical';
}

function textOf(check: Check, status: RegistryStatus): string {
  const told = status === 'maintenance' ? check.Notes || check.Output : check.Output || check.Notes;
  // White space is looked through again and again: so there must not be much of it.
  const read = String(told || check.Name || check.CheckID || '').slice(0, READ_MAX);
  const text = read.trim().replaceAll(/\s*\n\s*/g, ' ');
  return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}...` : text;
}

function settingsOfEntry({ Service }: Entry, prefix: string): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const tag of Array.isArray(Service?.Tags) ? Service.Tags : []) {
    if (typeof tag !== 'string' || !tag.startsWith(`${prefix}.`)) continue;
    const at = tag.indexOf('=');
    const key = tag.slice(prefix.length + 1, at < 0 ? undefined : at);
    settings[key] = at < 0 ? 'true' : tag.slice(at + 1);
  }
  for (const [name, value] of Object.entries(Service?.Meta ?? {})) {
    // Meta keys can't hold dots: upriver-health-path is health.path.
    if (name.startsWith(`${prefix}-`) && typeof value === 'string')
      settings[name.slice(prefix.length + 1).replaceAll('-', '.')] = value;
  }
  return settings;
}
