// All that TLS needs on either side, followed together: the certificates of listeners, and what is
// shown to endpoints.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { ListenTls } from '../model/listener.ts';
import type { Settings } from '../model/settings.ts';
import {
  type CertificateStatus,
  materialKey,
  type TlsMaterial,
  type UpstreamMaterial,
} from '../model/tls.ts';

import { CertificateStore } from './store.ts';
import { UpstreamStore, upstreamTlsOf } from './upstream-store.ts';
import { type CertificateProblem, certificateProblems, tlsOf } from './vet.ts';

export interface AllTlsOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** What workers are to have from now on. */
  readonly onChange: (
    materials: readonly TlsMaterial[],
    upstream: readonly UpstreamMaterial[],
  ) => void;
}

export class AllTls {
  private readonly clock: Clock;
  private readonly listeners: CertificateStore;
  private readonly upstream: UpstreamStore;

  constructor({ clock, log, onChange }: AllTlsOptions) {
    this.clock = clock;
    const tell = () => onChange(this.listeners.materials, this.upstream.materials);
    this.listeners = new CertificateStore({ clock, log, onChange: tell });
    this.upstream = new UpstreamStore({ clock, log, onChange: tell });
  }

  /** These settings name what is wanted from now on. */
  follow(settings: Settings): void {
    this.listeners.follow(tlsOf(settings));
    this.upstream.follow(upstreamTlsOf(settings));
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
  vet(settings: Settings): readonly CertificateProblem[] {
    const list = this.listeners.statuses();
    const used = new Set(list.flatMap(({ file, untilMs }) => (untilMs === null ? [] : [file])));
    return certificateProblems(settings, this.clock.wallMs()).filter(
      ({ kind, where }) => kind !== 'unused' && !used.has(where),
    );
  }

  /** Certificates of listeners, and what is wrong on either side, or will be soon. */
  status(): { readonly list: readonly CertificateStatus[]; readonly problems: readonly string[] } {
    const problems = [...this.listeners.problems(), ...this.upstream.problems()];
    return { list: this.listeners.statuses(), problems };
  }

  close(): void {
    this.listeners.close();
    this.upstream.close();
  }
}
