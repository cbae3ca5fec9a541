// Which endpoint of a service is the primary (`select: primary`): pure. It is the one that says so
// itself when its check asks, that carries the tag, or that holds the lock. Where that is none or
// more than one, none gets traffic: a write to the wrong one is worse than one that is refused.
import { formatHostPort } from '../base/host-text.ts';
import type { CheckState } from '../health/rise-fall.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { PrimaryPolicy } from '../model/service.ts';

export interface Candidate {
  readonly endpoint: Endpoint;
  /** Null where it has no check. */
  readonly check: CheckState | null;
}

export interface PrimaryChoice {
  /** '' for none. */
  readonly id: string;
  /** Why there is none; '' where there is one. Human-readable. */
  readonly why: string;
  /** Endpoints that contradict each other: a check of each tells which of them is right. */
  readonly contested: readonly string[];
}

export interface PrimaryQuestion {
  readonly policy: PrimaryPolicy;
  readonly candidates: readonly Candidate[];
  /** The primary so far; '' for none. */
  readonly before: string;
  /** Names of who holds the lock; null while that is not known. */
  readonly holder: readonly string[] | null;
}

/** The one primary, or none and why. */
export function choosePrimary(question: PrimaryQuestion): PrimaryChoice {
  switch (question.policy.by) {
    case 'check':
      return byCheck(question);
    case 'tag': {
      const { tag } = question.policy;
      const tagged = question.candidates.filter(({ endpoint }) => endpoint.tags?.includes(tag));
      return oneOf(tagged, `no endpoint has the tag ${tag}`);
    }
    case 'lock':
      return byLock(question);
  }
}

/**
 * The last answer of each counts. One that did not answer lately may still be what it said, unless
 * another says now that it is the primary. At the start all are waited for: the first to answer
 * may not be the only one.
 */
function byCheck({ candidates, before }: PrimaryQuestion): PrimaryChoice {
  const claiming = candidates.filter(({ check }) => check?.role === 'primary' && check.isUp);
  const fresh = claiming.filter(({ check }) => check?.last?.role === 'primary');
  const chosen = oneOf(
    fresh.length > 0 ? fresh : claiming,
    'no endpoint says that it is the primary',
  );
  const isSame = chosen.id !== '' && chosen.id === before;
  const waiting = candidates.filter(({ check }) => check !== null && !check.isKnown);
  if (chosen.id === '' || isSame || waiting.length === 0) return chosen;
  return none('not all endpoints have said yet what they are', []);
}

function byLock({ candidates, policy, holder }: PrimaryQuestion): PrimaryChoice {
  if (holder === null) return none(`the holder of the lock ${policy.lock} is not known yet`, []);
  if (holder.length === 0) return none(`the lock ${policy.lock} is not held`, []);
  // Its value may name the endpoint; the node alone may have several.
  for (const name of holder) {
    const held = candidates.filter(({ endpoint }) => namesOf(endpoint).includes(name));
    if (held.length > 0) return oneOf(held, '');
  }
  const shown = holder.join(', ');
  return none(`the lock ${policy.lock} is held by ${shown}, which is no endpoint`, []);
}

/** What the holder of a lock may call an endpoint: its node, its id, its address. */
function namesOf({ id, address, port }: Endpoint): readonly string[] {
  return [id, ...id.split('/'), address, formatHostPort(address, port)];
}

function oneOf(candidates: readonly Candidate[], ifNone: string): PrimaryChoice {
  const ids = candidates.map(({ endpoint }) => endpoint.id);
  if (ids.length === 0) return none(ifNone, []);
  if (ids.length === 1) return { id: ids[0]!, why: '', contested: [] };
  const shown = ids.slice(0, 3).join(' and ');
  return none(`${ids.length} endpoints are the primary: ${shown}`, ids);
}

function none(why: string, contested: readonly string[]): PrimaryChoice {
  return { id: '', why, contested };
}
