// Keys of a listener whose function is not there yet. Each is refused, so that no setting is without
// effect; who builds the function takes its line out.
import { formatListen } from '../model/listener.ts';
import type { Contradiction } from './consistency.ts';
import { claimsOf, type Draft } from './draft.ts';
import type { ListenInput } from './schema/listen.ts';

const UNREADY: readonly {
  readonly key: string;
  readonly isSet: (input: ListenInput) => boolean;
}[] = [{ key: 'tls: pass', isSet: ({ tls }) => tls === 'pass' }];

/** What listeners ask for that this version does not have. */
export function* unreadyKeys(draft: Draft): Generator<Contradiction, void> {
  for (const { listen, path } of claimsOf(draft)) {
    for (const { key, isSet } of UNREADY) {
      if (!isSet(listen)) continue;
      const message = `${formatListen(listen.address)}: ${key} is not available in this version`;
      yield { path, message };
    }
  }
}
