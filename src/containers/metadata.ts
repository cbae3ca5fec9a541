// What a container says of its services by variables and labels SERVICE_KEY and SERVICE_PORT_KEY, as
// Registrator reads them: labels win over variables, what names the port over what does not, keys in
// any case. Pure.
import type { Container } from './container.ts';

export interface Metadata {
  /** By key in lower case. */
  readonly values: ReadonlyMap<string, string>;
  /** Keys that were given for this very port. */
  readonly ofPort: ReadonlySet<string>;
}

const PREFIX = 'SERVICE_';

/** What concerns the service on this port of the container. */
export function metadataOf({ env, labels }: Container, port: number): Metadata {
  const values = new Map<string, string>();
  const ofPort = new Set<string>();
  for (const [name, value] of [...env.map(pairOf), ...labels]) {
    if (!name.startsWith(PREFIX)) continue;
    const key = name.slice(PREFIX.length).toLowerCase();
    const [, number = '', rest = ''] = /^(\d+)_(.*)$/.exec(key) ?? [];
    if (number !== '') {
      if (Number(number) !== port) continue;
      values.set(rest, value);
      ofPort.add(rest);
    } else if (!ofPort.has(key)) values.set(key, value);
  }
  return { values, ofPort };
}

/** A variable or label of the container; labels win. '' where there is none. */
export function settingOf({ env, labels }: Container, name: string): string {
  const label = labels.get(name);
  if (label !== undefined) return label;
  const found = env.findLast((one) => one.startsWith(`${name}=`));
  return found === undefined ? '' : found.slice(name.length + 1);
}

/** Split at commas; `\,` is a comma in a tag. Empty ones are left out. */
export function splitTags(text: string): string[] {
  const tags = text.match(/(?:\\,|[^,])+/g) ?? [];
  return tags.map((tag) => tag.replaceAll('\\,', ','));
}

function pairOf(variable: string): [string, string] {
  const at = variable.indexOf('=');
  return at < 0 ? ['', ''] : [variable.slice(0, at), variable.slice(at + 1)];
}
