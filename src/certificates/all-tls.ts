// All that TLS needs on either side, followed together: the certificates of listeners, and what is
// shown to endpoints.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Random } from '../base/prng.ts';
import type { ChallengeTable } from '../model/acme.ts';
import type { ListenTls } from '../model/listener.ts';
import type { Settings } from '../model/settings.ts';
import {
  type CertificateStatus,
  materialKey,
  type TlsMaterial,
  type UpstreamMaterial,
} from '../model/tls.ts';
import { challengeTypesOf } from './acme/challenge-types.ts';
import { AcmeKeeper } from './acme/keeper.ts';
import { acmeOf } from './acme/vet.ts';
import { CertificateStore } from './store.ts';
import { UpstreamStore, upstreamTlsOf } from './upstream-store.ts';
import { type CertificateProblem, certificateProblems, tlsOf } from './vet.ts';

export interface AllTlsOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** What workers are to have from now on. */
  readonly onChange: (
    materials: readonly TlsMaterial[],
    upstream: readonly UpstreamMaterial[],
  ) => void;
  /** Resolves when listeners answer these challenges, and no others. */
  readonly answer: (table: ChallengeTable) => Promise<void>;
}

const NOT_YET = 'there is no certificate yet: it is being ordered';

// With the library that speaks to CAs, for the time when a certificate is due: 30 MiB.
const loadObtain = async () => (await import('./acme/attempt.ts')).obtain;

export class AllTls {
  private readonly clock: Clock;
  private readonly listeners: CertificateStore;
  private readonly upstream: UpstreamStore;
  private readonly ordered: AcmeKeeper;

  constructor({ clock, random, log, onChange, answer }: AllTlsOptions) {
    this.clock = clock;
    const tell = () => onChange(this.listeners.materials, this.upstream.materials);
    this.listeners = new CertificateStore({ clock, log, onChange: tell });
    this.upstream = new UpstreamStore({ clock, log, onChange: tell });
    this.ordered = new AcmeKeeper({ clock, random, log, answer, loadObtain });
  }

  /** These settings name what is wanted from now on. Resolves when workers have it. Never rejects. */
  async follow(settings: Settings): Promise<void> {
    await this.upstream.follow(upstreamTlsOf(settings));
    // The last: listeners that go lose their certificates when they close.
    await this.listeners.follow(tlsOf(settings));
    this.ordered.follow(acmeOf(settings), challengeTypesOf(settings));
  }

  /** What is in use for `tls`; null where there is nothing. */
  materialOf(tls: ListenTls | null): TlsMaterial | null {
    if (tls === null) return null;
    const key = materialKey(tls);
    return this.listeners.materials.find((one) => one.key === key) ?? null;
  }

  /**
   * What keeps other settings from being applied: certificates that can't be used, or not now. Those
   * that are in use already stay so, whatever lies in their files.
   */
  async vet(settings: Settings): Promise<readonly CertificateProblem[]> {
    const list = this.listeners.statuses();
    const used = new Set(list.flatMap(({ file, untilMs }) => (untilMs === null ? [] : [file])));
    const problems = await certificateProblems(settings, this.clock);
    return problems.filter(
      ({ kind, where }) => (kind === 'broken' || kind === 'untimely') && !used.has(where),
    );
  }

  /** Certificates of listeners, and what is wrong on either side, or will be soon. */
  status(): { readonly list: readonly CertificateStatus[]; readonly problems: readonly string[] } {
    const ordered = this.ordered.statuses();
    const list = this.listeners.statuses().map((one): CertificateStatus => {
      const acme = ordered.get(one.file);
      if (acme === undefined) return one;
      // Until it is there, what became of its order is what is wrong with it.
      const isAwaited = one.untilMs === null && one.problem === '';
      return { ...one, problem: isAwaited ? acme.error || NOT_YET : one.problem, acme };
    });
    const problems = [
      ...this.listeners.problems(),
      ...this.upstream.problems(),
      ...this.ordered.problems(),
    ];
    return { list, problems };
  }

  /** Resolves when an order that was under way is given up. */
  async close(): Promise<void> {
    this.listeners.close();
    this.upstream.close();
    await this.ordered.close();
  }
}
