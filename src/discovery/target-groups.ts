// Prometheus' format of service discovery, as files and HTTP endpoints have it: pure.
//   [ { "targets": ["10.0.0.1:8001"], "labels": { "service": "web", "weight": "5" } } ]
// https://prometheus.io/docs/prometheus/latest/http_sd/#http_sd-format
// A target or a label that is wrong spoils itself alone, and says so.
import { isFields } from '../base/foreign.ts';
import { formatHostPort } from '../base/host-text.ts';
import { safeLine } from '../base/safe-text.ts';
import type { Steps } from '../base/turns.ts';
import { BOUNDS } from '../model/bounds.ts';
import type { Instance, Listed } from './followed-instances.ts';
import { readHostPort } from './host-port.ts';
import type { ServiceList } from './listed-services.ts';
import { OwnSettings } from './own-settings.ts';

/** Labels that name the service of a group, the first that is there. */
const NAMES = ['service', 'job'];
const WEIGHT_MAX = 1_000_000;
const SHOWN_CHARS = 100;
/** Problems of a service that are kept; of a list of megabytes each line may be wrong. */
const PROBLEMS_MAX = 20;
/** Targets that are read in one step. */
const STEP_TARGETS = 256;

export interface TargetRules {
  /** The service of groups that name none; '' where there is no such service. */
  readonly service: string;
  /** Labels `PREFIX.key`, or `PREFIX_key` with `__` for each dot, are settings of the service. */
  readonly tagPrefix: string;
}

export interface Targets {
  readonly list: ServiceList;
  /** What belongs to no service, human-readable; '' where all is well. */
  readonly problem: string;
}

interface Draft {
  /** By id: whoever is named twice is there once. */
  readonly instances: Map<string, Instance>;
  readonly problems: string[];
  readonly settings: OwnSettings;
}

/**
 * Reads target groups, in steps: there may be megabytes of them. Null where `value` is no list: no part of
 * it is to be believed.
 */
export function* targetSteps(value: unknown, rules: TargetRules): Steps<Targets | null> {
  if (!Array.isArray(value)) return null;
  const drafts = new Map<string, Draft>();
  let problem = '';
  for (const [index, group] of value.entries()) {
    yield '';
    const why = yield* readGroup(group, rules, drafts);
    if (why !== '' && problem === '') problem = `target group ${index + 1}: ${why}`;
  }
  return { list: new Map([...drafts].map(([name, draft]) => [name, listedOf(draft)])), problem };
}

/** Returns what is wrong with the group as a whole; ''. */
function* readGroup(group: unknown, rules: TargetRules, drafts: Map<string, Draft>): Steps<string> {
  if (!isFields(group)) return 'expected a map with targets and labels';
  const { targets, labels = {} } = group;
  if (!Array.isArray(targets)) return 'targets: expected a list of HOST:PORT';
  if (!isFields(labels)) return 'labels: expected a map of texts';
  const name = NAMES.map((label) => labels[label]).find(isName) ?? rules.service;
  if (name === '') return `expected a label ${NAMES.join(' or ')} with the name of the service`;
  let draft = drafts.get(name);
  if (draft === undefined) {
    if (drafts.size >= BOUNDS.listedServices.max) {
      return `more than ${BOUNDS.listedServices.max} services: the others are left out`;
    }
    draft = { instances: new Map(), problems: [], settings: new OwnSettings() };
    drafts.set(name, draft);
  }
  readSettings(labels, rules, draft);
  const weight = weightOf(labels.weight, draft);
  for (const [i, target] of targets.entries()) {
    // One more than are kept says that there are too many.
    if (draft.instances.size > BOUNDS.listedInstances.max) break;
    readTarget(target, weight, draft);
    if (i % STEP_TARGETS === STEP_TARGETS - 1) yield '';
  }
  return '';
}

function readTarget(target: unknown, weight: number, draft: Draft): void {
  const { instances } = draft;
  const read = typeof target === 'string' ? readHostPort(target.trim()) : null;
  if (read === null) {
    note(draft, 'target', target, 'expected IP:PORT, [IPv6]:PORT or HOST:PORT');
    return;
  }
  const { host, port } = read;
  const id = formatHostPort(host, port);
  if (!instances.has(id)) instances.set(id, { id, host, port, weight });
}

/** What is not kept is not written either. */
function note({ problems }: Draft, what: string, value: unknown, text: string): void {
  if (problems.length < PROBLEMS_MAX) problems.push(`${what} ${shown(value)}: ${text}`);
}

function weightOf(label: unknown, draft: Draft): number {
  if (label === undefined) return 1;
  const weight = typeof label === 'string' && label.trim() !== '' ? Number(label) : label;
  if (typeof weight === 'number' && weight >= 0 && weight <= WEIGHT_MAX) return weight;
  note(draft, 'label weight', label, `expected a number from 0 to ${WEIGHT_MAX}`);
  return 1;
}

/** The first group that has a setting gives it. */
function readSettings(
  labels: Readonly<Record<string, unknown>>,
  { tagPrefix }: TargetRules,
  draft: Draft,
): void {
  const { settings } = draft;
  for (const [label, value] of Object.entries(labels)) {
    const key = settingOf(label, tagPrefix);
    if (key === '') continue;
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
      note(draft, 'label', label, 'expected a text');
      continue;
    }
    const before = settings.get(key);
    const problem = before === undefined ? settings.put(key, String(value)) : '';
    if (problem !== '') note(draft, 'label', label, problem);
    else if (before !== undefined && before !== String(value)) {
      note(draft, 'label', label, `other groups say ${shown(before)}, which counts`);
    }
  }
}

/** The setting that a label is; '' for none. */
function settingOf(label: string, prefix: string): string {
  if (label.startsWith(`${prefix}.`)) return label.slice(prefix.length + 1);
  // Names of labels have no dots in most versions of Prometheus.
  if (label.startsWith(`${prefix}_`)) return label.slice(prefix.length + 1).replaceAll('__', '.');
  return '';
}

function listedOf({ instances, problems, settings }: Draft): Listed {
  return {
    instances: [...instances.values()],
    problems,
    settings: settings.whole(),
    order: null,
  };
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= BOUNDS.listedName.max;
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
  return `'${safeLine(text, SHOWN_CHARS)}'`;
}
