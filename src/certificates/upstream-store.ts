// CA files, and certificates of our own, for TLS to endpoints: looked at every second, and replaced when
// what lies there can be read. What can't stays as it was; what never could trusts nobody.
import type { Clock, Timer } from '../base/clock.ts';
import { messageOf } from '../base/coded-error.ts';
import type { Logger } from '../base/log.ts';
import type { UpstreamTls } from '../model/service.ts';
import type { Settings } from '../model/settings.ts';
import { type UpstreamMaterial, upstreamKey } from '../model/tls.ts';
import { readAuthorities, readFiles, signatureOf } from './files.ts';

const LOOK_MS = 1000;

export interface UpstreamStoreOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** What workers are to have from now on. */
  readonly onChange: (materials: readonly UpstreamMaterial[]) => void;
}

interface Entry {
  readonly tls: UpstreamTls;
  signature: string;
  changing: string;
  material: UpstreamMaterial;
  problem: string;
}

export class UpstreamStore {
  private readonly options: UpstreamStoreOptions;
  private entries = new Map<string, Entry>();
  private timer: Timer | null = null;

  constructor(options: UpstreamStoreOptions) {
    this.options = options;
  }

  /** Services speak TLS by these from now on. */
  follow(wanted: readonly UpstreamTls[]): void {
    const before = this.entries;
    this.entries = new Map();
    for (const tls of wanted) {
      const key = upstreamKey(tls);
      if (!this.entries.has(key)) this.entries.set(key, before.get(key) ?? this.read(tls, null));
    }
    if (this.entries.size > 0 || before.size > 0) this.publish();
    this.timer?.cancel();
    this.timer = null;
    if (this.entries.size > 0) this.schedule();
  }

  get materials(): readonly UpstreamMaterial[] {
    return [...this.entries.values()].map(({ material }) => material);
  }

  problems(): string[] {
    return [...this.entries.values()].flatMap(({ problem }) => (problem === '' ? [] : [problem]));
  }

  close(): void {
    this.timer?.cancel();
    this.timer = null;
  }

  private schedule(): void {
    this.timer = this.options.clock.setTimer(LOOK_MS, () => {
      this.look();
      this.schedule();
    });
  }

  private look(): void {
    let hasChanged = false;
    for (const [key, entry] of this.entries) {
      const signature = signatureFor(entry.tls);
      if (signature === entry.signature) continue;
      // What is being replaced is read when it stands still.
      if (signature !== entry.changing) {
        entry.changing = signature;
        continue;
      }
      const next = this.read(entry.tls, entry);
      this.entries.set(key, next);
      hasChanged ||= next.material !== entry.material;
    }
    if (hasChanged) this.publish();
  }

  private read(tls: UpstreamTls, before: Entry | null): Entry {
    const signature = signatureFor(tls);
    try {
      return { tls, signature, changing: '', material: readMaterial(tls), problem: '' };
    } catch (error) {
      const problem = `TLS to endpoints: ${messageOf(error)}`;
      this.options.log.error({}, problem);
      const material = before?.material ?? {
        ...{ key: upstreamKey(tls), ca: '', cert: '', privateKey: '' },
      };
      return { tls, signature, changing: '', material, problem };
    }
  }

  private publish(): void {
    this.options.onChange(this.materials);
  }
}

/** TLS to endpoints of these settings, as far as it names files. */
export function upstreamTlsOf({ services }: Pick<Settings, 'services'>): UpstreamTls[] {
  return services
    .flatMap(({ upstream }) => upstream.tls ?? [])
    .filter(({ caFile, certFile }) => caFile !== '' || certFile !== '');
}

/** What is wrong with the files; '' where they can be used. */
export function upstreamProblem(tls: UpstreamTls): string {
  try {
    readMaterial(tls);
    return '';
  } catch (error) {
    return messageOf(error);
  }
}

function signatureFor({ caFile, certFile, keyFile }: UpstreamTls): string {
  return `${signatureOf({ certFile: caFile, keyFile: caFile })} ${signatureOf({ certFile, keyFile })}`;
}

/** Throws where a file can't be read, or does not hold what it should. */
function readMaterial(tls: UpstreamTls): UpstreamMaterial {
  const { caFile, certFile, keyFile } = tls;
  const key = upstreamKey(tls);
  const ca = caFile === '' ? null : named(caFile, () => readAuthorities(caFile));
  if (certFile === '') return { key, ca, cert: '', privateKey: '' };
  const found = readFiles({ certFile, keyFile });
  if ('problem' in found) throw new Error(`${certFile}: ${found.problem}`);
  const { chain, privateKey } = found.pair.certificate;
  return { key, ca, cert: chain, privateKey };
}

function named<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Error(`${path}: ${messageOf(error)}`);
  }
}
