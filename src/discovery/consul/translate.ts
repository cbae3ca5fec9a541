// What Consul's health answers mean for us: pure. One entry is one instance with its node and all
// its checks (Consul API, /v1/health/service/:service).
import type { RegistryStatus } from '../../model/endpoint.ts';
import type { ServiceSettings } from '../provider.ts';

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

interface Check {
  readonly CheckID?: string;
  readonly Status?: string;
  readonly Output?: string;
  readonly Notes?: string;
  readonly Name?: string;
}

interface Entry {
  readonly Node?: { readonly Node?: string; readonly Address?: string };
  readonly Service?: {
    readonly ID?: string;
    readonly Address?: string;
    readonly Port?: number;
    readonly Tags?: readonly string[] | null;
    readonly Meta?: Readonly<Record<string, string>> | null;
    readonly Weights?: { readonly Passing?: number; readonly Warning?: number } | null;
  };
  readonly Checks?: readonly Check[] | null;
}

const TEXT_MAX = 200;
const SEVERITY: readonly RegistryStatus[] = ['passing', 'warning', 'critical', 'maintenance'];

/** The instances of a health answer, sorted by id. Entries that are no instance are left out. */
export function instancesOf(body: unknown): Instance[] {
  return entriesOf(body)
    .flatMap((entry) => instanceOf(entry) ?? [])
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

/**
 * The settings that a service gives itself: tags `PREFIX.key=value` and Meta `PREFIX-key`, Meta
 * first. Where instances differ, the value that most of them have wins, the lowest of equals; null
 * where none says anything.
 */
export function settingsOf(body: unknown, prefix: string): ServiceSettings | null {
  const votes = new Map<string, Map<string, number>>();
  for (const entry of entriesOf(body)) {
    for (const [key, value] of Object.entries(settingsOfEntry(entry, prefix))) {
      const counts = votes.get(key) ?? new Map<string, number>();
      votes.set(key, counts.set(value, (counts.get(value) ?? 0) + 1));
    }
  }
  if (votes.size === 0) return null;
  return Object.fromEntries([...votes].sort().map(([key, counts]) => [key, winner(counts)]));
}

/** Names of the services in a /v1/catalog/services answer that carry a tag of ours. */
export function describedServices(body: unknown, prefix: string): string[] {
  if (typeof body !== 'object' || body === null) return [];
  return Object.entries(body)
    .filter(([, tags]) => isTagList(tags) && tags.some((tag) => tag.startsWith(`${prefix}.`)))
    .map(([name]) => name)
    .sort();
}

function entriesOf(body: unknown): readonly Entry[] {
  // Consul's own shape; every field is looked at before it is used.
  return Array.isArray(body) ? (body as readonly Entry[]) : [];
}

function instanceOf({ Node, Service, Checks }: Entry): Instance | null {
  const host = Service?.Address || Node?.Address || '';
  const port = Service?.Port ?? 0;
  const serviceId = Service?.ID ?? '';
  if (host === '' || port < 1 || port > 65535 || serviceId === '') return null;
  const { status, text } = worstOf(Checks ?? []);
  const { Passing = 1, Warning = 1 } = Service?.Weights ?? {};
  const weight = status === 'warning' ? Warning : Passing;
  return { id: `${Node?.Node ?? ''}/${serviceId}`, host, port, weight, status, statusText: text };
}

/** The worst of the checks; maintenance is a critical check with a name of its own. */
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

function statusOf({ CheckID = '', Status = '' }: Check): RegistryStatus {
  const isMaintenance =
    CheckID === '_node_maintenance' || CheckID.startsWith('_service_maintenance');
  if (isMaintenance && Status === 'critical') return 'maintenance';
  if (Status === 'passing' || Status === 'warning') return Status;
  return 'critical';
}

function textOf(check: Check, status: RegistryStatus): string {
  const told = status === 'maintenance' ? check.Notes || check.Output : check.Output || check.Notes;
  const text = (told || check.Name || check.CheckID || '').trim().replaceAll('\n', ' ');
  return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}...` : text;
}

function settingsOfEntry({ Service }: Entry, prefix: string): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const tag of Service?.Tags ?? []) {
    if (!tag.startsWith(`${prefix}.`)) continue;
    const at = tag.indexOf('=');
    const key = tag.slice(prefix.length + 1, at < 0 ? undefined : at);
    settings[key] = at < 0 ? 'true' : tag.slice(at + 1);
  }
  for (const [name, value] of Object.entries(Service?.Meta ?? {})) {
    // Meta keys can't hold dots: upriver-health-path is health.path.
    if (name.startsWith(`${prefix}-`))
      settings[name.slice(prefix.length + 1).replaceAll('-', '.')] = value;
  }
  return settings;
}

function winner(counts: ReadonlyMap<string, number>): string {
  const ranked = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return ranked[0]![0];
}

function isTagList(tags: unknown): tags is string[] {
  return Array.isArray(tags) && tags.every((tag) => typeof tag === 'string');
}
