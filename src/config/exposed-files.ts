// Files with secrets that others of this machine may read or change: named, and used all the same.
import { exposureOf } from '../base/regular-file.ts';
import type { RegisterSettings } from '../model/register.ts';
import type { Problem } from './problem.ts';
import { isTree, type Tree } from './tree.ts';

/** Keys of the configuration that name a file with a secret in it, wherever they stand; and of settings that were read. */
const SECRET_FILES: ReadonlySet<string> = new Set([
  ...['token_file', 'password_file', 'key_file'],
  ...['tokenFile', 'passwordFile', 'keyFile'],
]);

/** Of listeners: whoever reads those warns of them, those in folders as well. */
const OF_LISTENERS = /\.certificates\.\d+\.key_file$/;

/** `tree`: the configuration, all layers. One for each field; none where its file can't be looked at. */
export function exposedFiles(tree: Tree): Problem[] {
  return fieldsOf(tree, []).flatMap(({ key, path }) => {
    if (OF_LISTENERS.test(key)) return [];
    const exposure = exposureOf(path);
    return exposure === '' ? [] : [{ where: path, key, message: exposure }];
  });
}

/** The same of a registrar's settings, which come from flags and variables: `key` is the kind of file. */
export function exposedRegisterFiles(settings: RegisterSettings): Problem[] {
  const { target, docker } = settings;
  const registry = target.kind === 'etcd' ? target.etcd : target.access;
  return exposedFiles({ registry, docker });
}

function fieldsOf(value: unknown, at: readonly string[]): { key: string; path: string }[] {
  if (Array.isArray(value)) return value.flatMap((one, i) => fieldsOf(one, [...at, String(i)]));
  if (!isTree(value)) return [];
  return Object.entries(value).flatMap(([name, one]) => {
    const path = [...at, name];
    if (!SECRET_FILES.has(name)) return fieldsOf(one, path);
    return typeof one === 'string' && one !== '' ? [{ key: path.join('.'), path: one }] : [];
  });
}
