// The environment of the DR CoN container: CONSUL=host:8500 and SERVICE=name, both with its
// defaults. SERVICE was pasted into a consul-template query, so it may be one:
// TAG.NAME?ns=..&partition=..&peer=..@DATACENTER~NEAR|passing,warning
import type { Problem } from './problem.ts';
import type { Tree } from './tree.ts';

const DEFAULT_CONSUL = 'consul:8500';
const DEFAULT_SERVICE = 'consul-8500';
const PORT = 80;
const STATUSES = ['passing', 'warning', 'critical', 'maintenance'];

/** What the two variables configure; nothing when neither is set. */
export function drCon(env: Readonly<Record<string, string | undefined>>): {
  readonly tree: Tree;
  readonly problems: readonly Problem[];
  /** Dotted place -> the variable it came from. */
  readonly origins: ReadonlyMap<string, string>;
} {
  const { CONSUL, SERVICE } = env;
  if (CONSUL === undefined && SERVICE === undefined) {
    return { tree: {}, problems: [], origins: new Map() };
  }
  const origins = new Map([['registries.consul.address', 'CONSUL']]);
  const query = parseServiceQuery(SERVICE || DEFAULT_SERVICE);
  if (typeof query === 'string') {
    return { tree: {}, problems: [{ where: 'SERVICE', key: '', message: query }], origins };
  }
  const { name, from } = query;
  origins.set(`services.${name}`, 'SERVICE');
  return {
    origins,
    tree: {
      registries: { consul: { address: [CONSUL || DEFAULT_CONSUL] } },
      services: { [name]: { listen: PORT, from } },
    },
    problems: [],
  };
}

export interface ServiceQuery {
  readonly name: string;
  /** Keys of `services.NAME.from`. */
  readonly from: Readonly<Record<string, string | readonly string[]>>;
}

/** Reads a consul-template service query; returns what is wrong as text. */
function parseServiceQuery(text: string): ServiceQuery | string {
  const pattern =
    /^(?:([\w:=.-]+)\.)?([\w-]+)(?:\?([\w&=.-]+))?(?:@([\w.-]+))?(?:~([\w.-]+))?(?:\|([\w,]+))?$/;
  const match = pattern.exec(text);
  if (match === null) {
    return `'${text}': expected a name, or TAG.NAME?ns=NS@DATACENTER|passing,warning`;
  }
  const [, tag, name = '', parameters, datacenter, , statuses] = match;
  const accept = statusesOf(statuses);
  if (typeof accept === 'string') return accept;
  const from: Record<string, string | readonly string[]> = { registry: 'consul', service: name };
  if (tag !== undefined) from.tag = tag;
  if (datacenter !== undefined) from.datacenter = datacenter;
  if (accept.length > 0) from.accept = accept;
  for (const [key, value] of new URLSearchParams(parameters ?? '')) {
    const known = { ns: 'namespace', partition: 'partition', peer: 'peer' }[key];
    if (known === undefined) return `'${text}': unknown parameter ${key}`;
    from[known] = value;
  }
  return { name, from };
}

function statusesOf(text: string | undefined): readonly string[] | string {
  if (text === undefined) return [];
  const words = text.split(',');
  if (words.includes('any')) return STATUSES;
  const wrong = words.find((word) => !STATUSES.includes(word));
  return wrong === undefined ? words : `'${wrong}': expected any, ${STATUSES.join(', ')}`;
}
