// What several certificates that are ordered can get wrong together: two of them with one file.
import type { Contradiction } from './consistency.ts';
import { claimsOf, type Draft } from './draft.ts';
import type { AcmeInput } from './schema/acme.ts';
import type { CertificateInput, ListenInput } from './schema/listen.ts';

interface Placed {
  readonly path: readonly PropertyKey[];
  readonly acme: AcmeInput;
}

/** Certificates are named by their first domain: the same name stands for the same certificate. */
export function* acmeContradictions(draft: Draft): Generator<Contradiction, void> {
  const byFile = new Map<string, Placed>();
  for (const one of placedOf(draft)) {
    const { directory, dir, domains } = one.acme;
    const key = JSON.stringify([directory, dir, domains[0]]);
    const known = byFile.get(key);
    if (known === undefined) byFile.set(key, one);
    else if (JSON.stringify(known.acme) !== JSON.stringify(one.acme)) {
      const place = known.path.join('.');
      const message = `${domains[0]} is the first domain of ${place} too, whose other settings differ: expected the same settings, or another first domain`;
      yield { path: one.path, message };
    }
  }
}

function* placedOf(draft: Draft): Generator<Placed, void> {
  yield* acmeOf(draft.tls?.certificates, ['tls', 'certificates']);
  const { stats } = draft;
  if (stats) yield* acmeOf(ownOf(stats.tls), ['stats', 'listen']);
  for (const { listen, path } of claimsOf(draft)) yield* acmeOf(ownOf(listen.tls), path);
}

function ownOf(tls: ListenInput['tls']): readonly CertificateInput[] | undefined {
  return typeof tls === 'object' ? tls.certificates : undefined;
}

function* acmeOf(
  certificates: readonly CertificateInput[] = [],
  path: readonly PropertyKey[],
): Generator<Placed, void> {
  for (const { acme } of certificates) if (acme !== undefined) yield { path, acme };
}
