// Which of the addresses that services want for themselves are free of other processes. Our own
// listeners share their addresses among the workers and with the process that is upgraded, and so
// would share them with anyone of the same user; so it is asked before, by opening them alone.
import type { Clock, Timer } from '../base/clock.ts';
import type { ListenAddress } from '../model/listener.ts';
import type { ListenerSnapshot } from '../model/snapshot.ts';

/** Who has the address, human-readable; '' for nobody, or for another Upriver. */
export type Probe = (address: ListenAddress) => Promise<string>;

/** An address that is taken is looked at again. */
const AGAIN_MS = 1000;
/** Addresses looked at at a time. */
const CONCURRENT_MAX = 16;
/** While many are looked at, what is known of some is worth a plan so often. */
const GATHER_MS = 5;

interface Claim {
  readonly key: string;
  readonly address: ListenAddress;
  /** Null before it was looked at. */
  holder: string | null;
  timer: Timer | null;
}

export interface PortClaimsOptions {
  readonly clock: Clock;
  readonly probe: Probe;
  /** Something else is known. */
  readonly onChange: () => void;
}

export class PortClaims {
  private readonly options: PortClaimsOptions;
  private readonly claims = new Map<string, Claim>();
  private readonly queue: Claim[] = [];
  private looking = 0;
  private gathering: Timer | null = null;

  constructor(options: PortClaimsOptions) {
    this.options = options;
  }

  /** Some address has not been looked at yet. */
  get isPending(): boolean {
    return [...this.claims.values()].some(({ holder }) => holder === null);
  }

  /** Who has the address: '' for nobody else, null while that is being found out. */
  holderOf({ key, address }: Pick<ListenerSnapshot, 'key' | 'address'>): string | null {
    let claim = this.claims.get(key);
    if (claim === undefined) {
      claim = { key, address, holder: null, timer: null };
      this.claims.set(key, claim);
      this.look(claim);
    }
    return claim.holder;
  }

  /** What was found out about other addresses is forgotten: they are looked at when wanted again. */
  keepOnly(keys: ReadonlySet<string>): void {
    for (const [key, { timer }] of this.claims) {
      if (keys.has(key)) continue;
      timer?.cancel();
      this.claims.delete(key);
    }
  }

  /** It could not be opened although it was free: it is looked at again in a while. */
  doubt(key: string): void {
    const claim = this.claims.get(key);
    if (claim !== undefined) this.lookLater(claim);
  }

  close(): void {
    this.gathering?.cancel();
    this.keepOnly(new Set());
  }

  private look(claim: Claim): void {
    this.queue.push(claim);
    if (this.looking < CONCURRENT_MAX) void this.lookAtNext();
  }

  private async lookAtNext(): Promise<void> {
    const { probe } = this.options;
    this.looking += 1;
    for (let claim = this.queue.shift(); claim !== undefined; claim = this.queue.shift()) {
      const one = claim;
      if (!this.isWanted(one)) continue;
      const holder = await probe(one.address).catch((error: unknown) => String(error));
      if (!this.isWanted(one)) continue;
      if (one.holder !== holder) this.tell(one, holder);
      if (holder !== '') this.lookLater(one);
    }
    this.looking -= 1;
  }

  private lookLater(claim: Claim): void {
    claim.timer ??= this.options.clock.setTimer(AGAIN_MS, () => {
      claim.timer = null;
      this.look(claim);
    });
  }

  private isWanted(claim: Claim): boolean {
    return this.claims.get(claim.key) === claim;
  }

  private tell(claim: Claim, holder: string): void {
    const { clock, onChange } = this.options;
    claim.holder = holder;
    if (this.queue.length === 0) onChange();
    else {
      this.gathering ??= clock.setTimer(GATHER_MS, () => {
        this.gathering = null;
        onChange();
      });
    }
  }
}
