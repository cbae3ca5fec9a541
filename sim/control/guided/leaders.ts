// Who is the primary of `db` in truth: by the tag of its registration, by a lock in Consul's KV store, or by
// what its server says. Two may claim it for a moment, or nobody.
import type { Kernel } from '../../kernel/kernel.ts';
import type { Registered } from '../registered.ts';
import type { SimConsul } from '../sim-consul.ts';
import { keyOf, withKey } from '../truth.ts';
import { countOf, firstOf, REGISTERED } from '../universe.ts';
import type { GuidedAction } from './plan.ts';
import { LEADER_TAG, LOCK_KEY, type PrimaryBy } from './shape.ts';

/** No run is so long. */
const RUN_MS = 600_000;

export interface LeadersOptions {
  readonly kernel: Kernel;
  readonly consul: SimConsul;
  readonly registered: Registered;
  readonly by: PrimaryBy;
}

export class Leaders {
  readonly by: PrimaryBy;
  private readonly options: LeadersOptions;
  /** When each last ceased to claim it, by `node/id`; those who claim it now have Infinity. */
  private readonly claimedMs = new Map<string, number>();
  private holder: { readonly which: number; readonly isNamed: boolean } | null = null;

  constructor(options: LeadersOptions) {
    this.options = options;
    this.by = options.by;
  }

  /** When it last claimed to be the primary; Infinity: it does, -Infinity: never. */
  claimedMsOf(key: string): number {
    return this.claimedMs.get(key) ?? Number.NEGATIVE_INFINITY;
  }

  promote({ which, gapMs, isNamed }: Extract<GuidedAction, { kind: 'promote' }>): void {
    const { kernel } = this.options;
    const others = this.claiming().filter((one) => one !== which);
    const cease = (): void => {
      for (const one of others) this.cease(one);
    };
    if (gapMs > 0) {
      cease();
      kernel.after(gapMs, () => this.claim(which, isNamed));
    } else {
      this.claim(which, isNamed);
      // Beyond the run it is no event of it.
      if (-gapMs < RUN_MS) kernel.after(-gapMs, cease);
    }
  }

  abdicate(): void {
    for (const one of this.claiming()) this.cease(one);
  }

  /** Consul begins anew without the key: whoever held the lock takes it again, after so long. */
  emptied(afterMs: number): void {
    const { holder } = this;
    if (this.by !== 'lock' || holder === null) return;
    this.options.kernel.after(afterMs, () => {
      if (this.holder === holder) this.writeLock();
    });
  }

  /** The instances that claim it now. */
  private claiming(): number[] {
    const first = firstOf('db');
    return Array.from({ length: countOf('db') }, (_, i) => first + i).filter(
      (which) => this.claimedMsOf(idOf(which)) === Number.POSITIVE_INFINITY,
    );
  }

  private claim(which: number, isNamed: boolean): void {
    const { registered } = this.options;
    // Of a lock there is one holder.
    if (this.by === 'lock') for (const one of this.claiming()) this.cease(one);
    this.claimedMs.set(idOf(which), Number.POSITIVE_INFINITY);
    if (this.by === 'tag') registered.tag(which, LEADER_TAG, true);
    else if (this.by !== 'lock') registered.setRole(which, 'primary');
    else {
      this.holder = { which, isNamed };
      this.writeLock();
    }
  }

  private cease(which: number): void {
    const { kernel, registered } = this.options;
    if (this.claimedMsOf(idOf(which)) !== Number.POSITIVE_INFINITY) return;
    this.claimedMs.set(idOf(which), kernel.nowMs);
    if (this.by === 'tag') registered.tag(which, LEADER_TAG, false);
    else if (this.by !== 'lock') registered.setRole(which, 'replica');
    else if (this.holder?.which === which) {
      this.holder = null;
      this.writeLock();
    }
  }

  /** As a session of Consul has it: the key names its holder at times, its session's node always. */
  private writeLock(): void {
    const { consul, kernel, registered } = this.options;
    if (registered.isAway) return;
    const { holder } = this;
    const { id, node } = REGISTERED[holder?.which ?? firstOf('db')]!;
    const text = holder?.isNamed === true ? id : '';
    const session = holder === null ? '' : `session-${node}`;
    consul.write(withKey(consul.state, kernel.nowMs, { name: LOCK_KEY, text, session }));
  }
}

function idOf(which: number): string {
  return keyOf(REGISTERED[which]!);
}
