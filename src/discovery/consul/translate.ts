// What Consul's health answers mean for us: pure. One entry is one instance with its node and all
// its checks (Consul API, /v1/health/service/:service). Every field is looked at before it is used:
// one odd instance is left out, and spoils nothing for the others.
import { textOf } from '../../base/foreign.ts';
import { BOUNDS } from '../../model/bounds.ts';
import type { RegistryStatus } from '../../model/endpoint.ts';
import type { HealthCheck } from '../../model/service.ts';
import { type DeclaredCheck, declaredCheck } from '../declared-check.ts';
import { ownWeight, WEIGHT_MAX } from '../self-description.ts';
import { ConsulError } from './answer.ts';
import type { Check, Entry } from './entry.ts';

export type { Check, Entry } from './entry.ts';

/** An instance before its address is resolved. */
export interface Instance {
  readonly id: string;
  /** IP address or host name. */
  readonly host: string;
  readonly port: number;
  readonly weight: number;
  readonly status: RegistryStatus;
  readonly statusText: string;
  /** The active check that it declares. */
  readonly check?: HealthCheck;
  readonly tags?: readonly string[];
  readonly transport?: 'udp';
}

const TEXT_MAX = 200;
/** Entries that are no instances: so many are named. */
const UNFIT_MAX = 10;
const SHOWN_MAX = 100;
/** Tags that are kept of an instance, and their length. */
const TAGS_MAX = 16;
const TAG_MAX = 64;
const NO_TAGS: readonly string[] = [];
const READ_MAX = BOUNDS.consulOutput.max;
const SEVERITY: readonly RegistryStatus[] = ['passing', 'warning', 'critical', 'maintenance'];

/** A list of objects; what is no object is left out. Throws ConsulError for anything else. */
export function listOf<T extends object>(body: unknown): readonly T[] {
  if (!Array.isArray(body)) throw new ConsulError('not-a-list', 'answered JSON that is no list');
  // Consul's own shape; every field is optional in T.
  return body.filter(isObject) as T[];
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

/** The ids of the instances of a health answer. */
export function idsOf(entries: readonly Entry[]): Set<string> {
  return new Set(entries.flatMap((entry) => known.get(entry)?.instance?.id ?? idOf(entry) ?? []));
}

/** Translates an entry as it arrives, so that it need not be done for all of them at one go. */
export function translateEarly(entry: unknown, prefix: string): void {
  if (isObject(entry)) translated(entry, prefix);
}

interface Translated {
  readonly prefix: string;
  readonly instance: Instance | null;
}

/** An answer is looked at several times, and its entries do not change. */
const known = new WeakMap<Entry, Translated>();

/** Also what the entry says of itself is read, and kept in self-description.ts. */
function translated(entry: Entry, prefix: string): Translated {
  const before = known.get(entry);
  if (before?.prefix === prefix) return before;
  const made = { prefix, instance: instanceOf(entry, prefix) };
  known.set(entry, made);
  return made;
}

function idOf(entry: Entry): string | null {
  return instanceOf(entry, '')?.id ?? null;
}

/** Why an entry is no instance that could get a request; '' where it is one. */
export function unfitness({ Node, Service }: Entry): string {
  if (textOf(Service?.ID) === '') return 'it has no id';
  if (hostOf(Service?.Address) === '' && hostOf(Node?.Address) === '') return 'it has no address';
  return isPort(Service?.Port) ? '' : `port ${shown(Service?.Port)}: expected 1 to 65535`;
}

/** What is wrong with entries that are left out, each named; the first of them. */
export function unfitEntries(entries: readonly Entry[]): string[] {
  const found: string[] = [];
  for (const entry of entries) {
    if (found.length >= UNFIT_MAX) break;
    const why = unfitness(entry);
    if (why !== '') found.push(`instance ${shown(entry.Service?.ID)} is left out: ${why}`);
  }
  return found;
}

const declared = new WeakMap<Entry, DeclaredCheck>();

function declaredOf(entry: Entry): DeclaredCheck {
  let known = declared.get(entry);
  if (known === undefined) {
    known = declaredCheck(entry.Service?.Meta);
    declared.set(entry, known);
  }
  return known;
}

/** What is wrong with the checks that entries declare: each once, with the first that says so. */
export function checkProblems(entries: readonly Entry[]): string[] {
  const whose = new Map<string, string[]>();
  for (const entry of entries) {
    for (const problem of declaredOf(entry).problems) {
      const ids = whose.get(problem) ?? [];
      whose.set(problem, [...ids, shown(entry.Service?.ID)]);
    }
  }
  return [...whose].slice(0, UNFIT_MAX).map(([problem, [first, ...others]]) => {
    const more = others.length === 0 ? '' : ` and ${others.length} more`;
    return `instance ${first}${more}: Meta ${problem}`;
  });
}

/** Foreign data in a message. */
function shown(value: unknown): string {
  if (typeof value !== 'string' && typeof value !== 'number') return 'none';
  const text = String(value);
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}...` : text;
}

function instanceOf(entry: Entry, prefix: string): Instance | null {
  const { Node, Service, Checks } = entry;
  const host = hostOf(Service?.Address) || hostOf(Node?.Address);
  const port = Service?.Port;
  const serviceId = textOf(Service?.ID);
  if (host === '' || serviceId === '' || !isPort(port)) return null;
  const checks = Array.isArray(Checks) ? Checks.filter(isObject) : [];
  const { status, text } = worstOf(checks);
  const weight = instanceWeight(entry, { prefix, isWarning: status === 'warning' });
  const id = `${textOf(Node?.Node)}/${serviceId}`;
  const tags = tagsOf(Service?.Tags);
  const instance = { id, host, port, weight, status, statusText: text };
  const { check } = declaredOf(entry);
  return {
    ...instance,
    ...(tags.length === 0 ? {} : { tags }),
    ...(hasUdpTag(Service?.Tags) ? { transport: 'udp' as const } : {}),
    ...(check === null ? {} : { check }),
  };
}

/** As Registrator says it of a port of UDP. */
function hasUdpTag(tags: unknown): boolean {
  return Array.isArray(tags) && tags.includes('udp');
}

/** Tags that are short, and settings of ours not among them: they say what the instance is. */
function tagsOf(tags: unknown): readonly string[] {
  if (!Array.isArray(tags)) return NO_TAGS;
  const short = tags.filter((tag) => typeof tag === 'string' && tag.length <= TAG_MAX);
  return short.filter((tag: string) => !tag.includes('=')).slice(0, TAGS_MAX) as string[];
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
  const own = ownWeight(entry, prefix);
  if (own === null) return weightOf(isWarning ? Warning : Passing);
  return isWarning ? Math.min(own, weightOf(Warning)) : own;
}

/** 1 where nothing usable is said; 0 means no new work. */
function weightOf(weight: unknown): number {
  const isUsable = typeof weight === 'number' && Number.isFinite(weight) && weight >= 0;
  return isUsable ? Math.min(WEIGHT_MAX, weight) : 1;
}

/** The worst of the checks, of the instance and of its node; the first of equals tells why. */
function worstOf(checks: readonly Check[]): { status: RegistryStatus; text: string } {
  let worst: RegistryStatus = 'passing';
  let text = '';
  for (const check of checks) {
    const status = statusOf(check);
    if (SEVERITY.indexOf(status) <= SEVERITY.indexOf(worst)) continue;
    worst = status;
    text = outputOf(check, status);
  }
  return { status: worst, text };
}

/** Maintenance is a critical check with a name of its own. */
function statusOf({ CheckID, Status }: Check): RegistryStatus {
  const id = textOf(CheckID);
  const isMaintenance = id === '_node_maintenance' || id.startsWith('_service_maintenance');
  if (isMaintenance && Status === 'critical') return 'maintenance';
  if (Status === 'passing' || Status === 'warning') return Status;
  return 'critical';
}

function outputOf(check: Check, status: RegistryStatus): string {
  const [output, notes] = [textOf(check.Output), textOf(check.Notes)];
  const told = status === 'maintenance' ? notes || output : output || notes;
  // White space is looked through again and again, so there must not be much of it.
  const text = (told || textOf(check.Name) || textOf(check.CheckID))
    .slice(0, READ_MAX)
    .trim()
    .replaceAll(/\s*\n\s*/g, ' ');
  return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}...` : text;
}

function isObject(one: unknown): one is object {
  return typeof one === 'object' && one !== null;
}
