// What the data of a znode says: pure. The forms that registrars write:
//   nerve (SmartStack)      {"host", "port", "name", "weight", "labels": {...}}
//   finagle, Aurora         {"serviceEndpoint": {"host", "port"}, "status": "ALIVE", "metadata": {...}}
//   Curator, Spring Cloud   {"address", "port", "sslPort", "enabled", "payload": {"metadata": {...}}}
//   Registrator             {"IP", "PublicPort", "Tags": [...], "Attrs": {...}}
//   plain text              host:port
// Whoever may write below the path writes these: a value that is wrong spoils its znode alone, and
// says so.
import { type Fields, fieldsOf } from '../../base/foreign.ts';
import { safeLine } from '../../base/safe-text.ts';
import { BOUNDS } from '../../model/bounds.ts';
import { isHost, portOf, readHostPort } from '../host-port.ts';
import { WEIGHT_MAX } from '../self-description.ts';

export type ZnodeReading =
  | {
      readonly kind: 'instance';
      /** An IP address or a host name. */
      readonly host: string;
      readonly port: number;
      readonly weight: number;
      /** What it says of itself: `key=value` of labels, and tags. */
      readonly tags: readonly string[];
    }
  /** It says that it takes no work, or is a folder. */
  | { readonly kind: 'none' }
  | { readonly kind: 'problem'; readonly text: string };

const NONE: ZnodeReading = { kind: 'none' };
const SHOWN_CHARS = 100;
const TAGS_MAX = 256;
/** Statuses of serversets that take work; DEAD, STARTING, STOPPING, STOPPED do not. */
const ALIVE: readonly unknown[] = ['ALIVE', 'WARNING', undefined];

/** What the znode `name` says. `isEphemeral`: it is there for an instance, and is no folder. */
export function readZnode(name: string, data: Buffer, isEphemeral: boolean): ZnodeReading {
  const problem = (text: string): ZnodeReading => {
    return { kind: 'problem', text: `znode ${shown(name)}: ${text}` };
  };
  const { max } = BOUNDS.zookeeperValue;
  if (data.length > max) return isEphemeral ? problem(`has more than ${max} bytes`) : NONE;
  const text = data.toString().trim();
  if (text.startsWith('{')) {
    const read = readJson(text);
    return typeof read === 'string' ? problem(`${shown(text)}: ${read}`) : read;
  }
  const at = readHostPort(text);
  if (at !== null) return { kind: 'instance', ...at, weight: 1, tags: [] };
  // Curator leaves the address of whoever made a folder in it.
  if (!isEphemeral) return NONE;
  return problem(`${shown(text)}: expected JSON with host and port, or HOST:PORT`);
}

/** Returns what is wrong as text. */
function readJson(text: string): ZnodeReading | string {
  let fields: Fields;
  try {
    // What begins with a brace is a map.
    fields = JSON.parse(text) as Fields;
  } catch {
    return 'is no JSON';
  }
  const place = placeOf(fields);
  if (place === null) return NONE;
  const { host, port } = place;
  const bare = typeof host === 'string' ? host.trim().replace(/^\[(.*)\]$/, '$1') : '';
  const number = portOf(port);
  if (!isHost(bare)) return 'host: expected an IP address or a host name';
  if (number === null) return 'port: expected a number from 1 to 65535';
  const weight = weightOf(fields.weight);
  if (weight === null) return `weight: expected a number from 0 to ${WEIGHT_MAX}`;
  const tags = [...place.labels.flatMap(tagsOf), ...listed(place.tags)].slice(0, TAGS_MAX);
  return { kind: 'instance', host: bare.toLowerCase(), port: number, weight, tags };
}

interface Place {
  readonly host: unknown;
  readonly port: unknown;
  /** Maps of labels; foreign data. */
  readonly labels: readonly unknown[];
  readonly tags?: unknown;
}

/** Where the instance is by the form that it has; null where it takes no work. */
function placeOf(fields: Fields): Place | null {
  const { serviceEndpoint, status, host, address, IP } = fields;
  if (serviceEndpoint !== undefined) {
    if (!ALIVE.includes(status)) return null;
    const at = fieldsOf(serviceEndpoint);
    return { host: at.host, port: at.port, labels: [fields.metadata] };
  }
  if (host === undefined && address !== undefined) {
    const metadata = fieldsOf(fieldsOf(fields.payload).metadata);
    const isOut = metadata.instance_status !== undefined && metadata.instance_status !== 'UP';
    if (fields.enabled === false || isOut) return null;
    return { host: address, port: fields.port ?? fields.sslPort, labels: [metadata] };
  }
  if (host === undefined && IP !== undefined) {
    return { host: IP, port: fields.PublicPort, labels: [fields.Attrs], tags: fields.Tags };
  }
  return { host, port: fields.port, labels: [fields.labels] };
}

function tagsOf(labels: unknown): string[] {
  return Object.entries(fieldsOf(labels)).flatMap(([key, value]) =>
    typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
      ? [`${key}=${value}`]
      : [],
  );
}

function listed(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}

function weightOf(value: unknown): number | null {
  if (value === undefined || value === null) return 1;
  const weight = typeof value === 'string' && /^\d{1,7}$/.test(value) ? Number(value) : value;
  return typeof weight === 'number' && weight >= 0 && weight <= WEIGHT_MAX ? weight : null;
}

function shown(text: string): string {
  return `'${safeLine(text, SHOWN_CHARS)}'`;
}
