// The password of a check belongs to the endpoints and the protocol that another layer names beside it. An
// overlay that changed these could have it sent in clear text, or to endpoints of its own choice.
import type { Problem, Where } from './problem.ts';
import { hasPath, isGiven, isTree, type Tree } from './tree.ts';

/** Settings of a service that decide to whom, and in which protocol, its check sends a password. */
const DECIDING = [['health', 'type'], ['health', 'port'], ['from'], ['upstream', 'host']];

/** What the overlay may not set of services whose checks have a password in the layers of `own`. */
export function overlayPasswordProblems(kv: Tree, own: Tree, where: Where): Problem[] {
  if (!isTree(kv.services)) return [];
  return Object.keys(kv.services)
    .filter((name) => hasPassword(own, name))
    .flatMap((name) => DECIDING.map((rest) => ['services', name, ...rest]))
    .filter((path) => hasPath(kv, path))
    .map((path) => {
      const message =
        'must not be set by the overlay where another layer has the password of its check';
      return { where: where(path, 'key'), key: path.join('.'), message };
    });
}

function hasPassword(own: Tree, name: string): boolean {
  if (!hasPath(own, ['services', name, 'health'])) return false;
  const { health } = (own.services as Record<string, Tree>)[name]!;
  return isTree(health) && (isGiven(health.password) || isGiven(health.password_file));
}
