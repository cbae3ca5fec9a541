// CA files, and certificates of our own, for TLS to endpoints: looked at every second, and replaced when
// what lies there can be read. What can't be read stays as it was; what never could be read trusts no CA.
import type { Clock, Timer } from '../base/clock.ts';
import { messageOf } from '../base/coded-error.ts';
import type { Logger } from '../base/log.ts';
import type { UpstreamTls } from '../model/service.ts';
import type { Settings } from '../model/settings.ts';
import { type UpstreamMaterial, upstreamKey } from '../model/tls.ts';
import { readAuthorities, readFiles, signaturesOf } from './files.ts';

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
  private wanted: readonly UpstreamTls[] = [];
  /** Not wanted any more, and given to workers until the next look. */
  private readonly leaving = new Map<string, Entry>();
  /** The last look; each begins when the one before is over. */
  private looking: Promise<void> = Promise.resolve();
  private isClosed = false;

  constructor(options: UpstreamStoreOptions) {
    this.options = options;
  }

  /** Services speak TLS by these from now on. Resolves when they do. Never rejects. */
  follow(wanted: readonly UpstreamTls[]): Promise<void> {
    this.wanted = wanted;
    this.timer?.cancel();
    this.timer = null;
    this.looking = this.looking.then(() => this.lookFirst(wanted));
    return this.looking;
  }

  private async lookFirst(wanted: readonly UpstreamTls[]): Promise<void> {
    const before = this.entries;
    const entries = new Map<string, Entry>();
    for (const tls of wanted) {
      const key = upstreamKey(tls);
      if (!entries.has(key)) entries.set(key, before.get(key) ?? (await this.read(tls, null)));
    }
    if (this.isClosed || this.wanted !== wanted) return;
    this.entries = entries;
    // What is not wanted any more may be in use until the settings are in force.
    for (const [key, entry] of before) if (!entries.has(key)) this.leaving.set(key, entry);
    if (entries.size > 0 || before.size > 0) this.publish();
    if (entries.size > 0 || before.size > 0) this.schedule();
  }

  /** One for each set of TLS settings to endpoints; those that may be in use still come first. */
  get materials(): readonly UpstreamMaterial[] {
    return [...this.leaving.values(), ...this.entries.values()].map(({ material }) => material);
  }

  /** What is wrong now, human-readable. */
  problems(): string[] {
    return [...this.entries.values()].flatMap(({ problem }) => (problem === '' ? [] : [problem]));
  }

  close(): void {
    this.isClosed = true;
    this.timer?.cancel();
    this.timer = null;
  }

  private schedule(): void {
    if (this.isClosed) return;
    this.timer = this.options.clock.setTimer(LOOK_MS, () => {
      this.timer = null;
      this.looking = this.looking.then(() => this.look());
    });
  }

  private async look(): Promise<void> {
    const { entries } = this;
    let hasChanged = this.leaving.size > 0;
    this.leaving.clear();
    for (const [key, entry] of entries) {
      // What its disk does not tell stays as it was.
      const signature = await signatureFor(entry.tls).catch(() => entry.signature);
      if (this.isClosed || this.entries !== entries) return;
      if (signature === entry.signature) continue;
      // What is being replaced is read when it stands still.
      if (signature !== entry.changing) {
        entry.changing = signature;
        continue;
      }
      const next = await this.read(entry.tls, entry);
      if (this.isClosed || this.entries !== entries) return;
      entries.set(key, next);
      hasChanged ||= next.material !== entry.material;
    }
    if (hasChanged) this.publish();
    if (this.timer === null && entries.size > 0) this.schedule();
  }

  private async read(tls: UpstreamTls, before: Entry | null): Promise<Entry> {
    let signature = '';
    try {
      signature = await signatureFor(tls);
      return { tls, signature, changing: '', material: await readMaterial(tls), problem: '' };
    } catch (error) {
      const problem = `TLS to endpoints: ${messageOf(error)}`;
      this.options.log.error({}, problem);
      const material = before?.material ?? {
        key: upstreamKey(tls),
        ca: '',
        cert: '',
        privateKey: '',
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
export async function upstreamProblem(tls: UpstreamTls): Promise<string> {
  try {
    await readMaterial(tls);
    return '';
  } catch (error) {
    return messageOf(error);
  }
}

async function signatureFor({ caFile, certFile, keyFile }: UpstreamTls): Promise<string> {
  const signatures = await signaturesOf([
    { certFile: caFile, keyFile: caFile },
    { certFile, keyFile },
  ]);
  return signatures.join(' ');
}

/** Rejects where a file can't be read, or does not hold what it should. */
async function readMaterial(tls: UpstreamTls): Promise<UpstreamMaterial> {
  const { caFile, certFile, keyFile } = tls;
  const key = upstreamKey(tls);
  const ca = caFile === '' ? null : await authoritiesAt(caFile);
  if (certFile === '') return { key, ca, cert: '', privateKey: '' };
  const found = await readFiles({ certFile, keyFile });
  if ('problem' in found) throw new Error(`${certFile}: ${found.problem}`);
  const { chain, privateKey } = found.pair.certificate;
  return { key, ca, cert: chain, privateKey };
}

async function authoritiesAt(path: string): Promise<string> {
  try {
    return await readAuthorities(path);
  } catch (error) {
    throw new Error(`${path}: ${messageOf(error)}`);
  }
}
