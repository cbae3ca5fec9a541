// What a container may call itself in a registry, and where it may say that it is. Whoever makes an image or
// sets a label writes these texts: none may lead out of the prefix, or pass for another thing there. Pure.
import { parseIp } from '../base/ip-address.ts';
import { BOUNDS } from '../model/bounds.ts';
import type { Registration } from './registry.ts';

const HOST_NAME = /^[\w.-]+$/;
/** In a text that others read again, none of these stands for itself. */
const UNFIT = /[\p{Cc}\p{Cs}]/u;
/** A key of this name says on which port the service wants to be served. */
const PORT = 'port';

/** Why the service can't be registered at all; '' where it can. */
export function unfitService({ id, name, ip }: Registration): string {
  if (parseIp(ip) === null && !HOST_NAME.test(ip))
    return 'address: expected an IP address or a host name';
  const unfit = unfitText('name', name) || unfitText('id', id);
  return unfit === '' && isFolded(id) ? `id: ${FOLDED}` : unfit;
}

/** Why it can't be a key below a prefix; '' where it can. */
export function unfitKey({ id, name }: Pick<Registration, 'id' | 'name'>): string {
  if (isFolded(name)) return `name: ${FOLDED}`;
  if (id.includes('/')) return 'id: expected no slash';
  return id === PORT ? `id: '${PORT}' is a key of the service itself` : '';
}

const FOLDED = "expected no part '', '.' or '..' between slashes";

/** Whether servers fold it where it stands in a path, and so ask for another one. */
function isFolded(text: string): boolean {
  return text.split('/').some((part) => part === '' || part === '.' || part === '..');
}

function unfitText(what: string, text: string): string {
  const { max } = BOUNDS.registeredName;
  if (text === '' || text === '.' || text === '..')
    return `${what}: expected another than '${text}'`;
  if (text.length > max) return `${what}: expected ${max} characters at most`;
  return UNFIT.test(text) ? `${what}: expected no control characters` : '';
}
