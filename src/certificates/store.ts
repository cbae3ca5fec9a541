// The certificates of all listeners over time. Files are looked at every second; what was replaced is
// read when it has stood still for that long, since certificate and key are written one after the
// other. What can't be used, has expired or is not valid yet does not replace what is in use. There may be
// thousands: they are read in turns, one look after the other, and what a disk that hangs holds stays as it is.
// Private keys leave this folder in TlsMaterial alone.
import { randomBytes } from 'node:crypto';
import type { Clock, Timer } from '../base/clock.ts';
import { messageOf } from '../base/coded-error.ts';
import type { Logger } from '../base/log.ts';
import { exposureBy } from '../base/regular-file.ts';
import { modeInTime } from '../base/timely-file.ts';
import { REST_MS, Turns } from '../base/turns.ts';
import type { CertificateSource, ListenTls } from '../model/listener.ts';
import {
  type CertificateStatus,
  materialKey,
  TICKET_KEY_BYTES,
  type TlsMaterial,
} from '../model/tls.ts';
import {
  type PairFiles,
  pairsOf,
  placeOf,
  readAuthorities,
  readFiles,
  signaturesOf,
} from './files.ts';
import { type Pair, untimely } from './pair.ts';

const LOOK_MS = 1000;
/** A certificate that expires within this time should have been renewed. */
const SOON_MS = 7 * 86_400_000;
/** The key that seals session tickets is replaced so often. */
const TICKET_KEY_MS = 12 * 3_600_000;

export interface CertificateStoreOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** What workers are to have from now on. */
  readonly onChange: (materials: readonly TlsMaterial[]) => void;
}

/** One pair of files, and what came of them. */
interface Entry extends PairFiles {
  /** Of what was read last. */
  signature: string;
  /** Of what lies there now, when it is not that. */
  changing: string;
  /** In use. */
  pair: Pair | null;
  problem: string;
}

export class CertificateStore {
  private readonly options: CertificateStoreOptions;
  private wanted: readonly ListenTls[] = [];
  /** By the names of their files. */
  private readonly entries = new Map<string, Entry>();
  /** By source: the entries that it has now, in order. */
  private readonly bySource = new Map<string, readonly string[]>();
  private readonly authorities = new Map<string, { text: string; problem: string }>();
  /** What is wrong with folders, by source. */
  private readonly folderProblems = new Map<string, string>();
  private ticketKey = randomBytes(TICKET_KEY_BYTES);
  private ticketKeyMs: number;
  /** The last look; each begins when the one before is over. */
  private looking: Promise<void> = Promise.resolve();
  private isClosed = false;
  private timer: Timer | null = null;
  private current: readonly TlsMaterial[] = [];

  constructor(options: CertificateStoreOptions) {
    this.options = options;
    this.ticketKeyMs = options.clock.nowMs();
  }

  /** Listeners speak these from now on: reads what is new of them. Resolves when that is in use. Never rejects. */
  follow(wanted: readonly ListenTls[]): Promise<void> {
    this.wanted = wanted;
    this.timer?.cancel();
    this.timer = null;
    this.looking = this.looking.then(() => this.lookFirst(wanted));
    return this.looking;
  }

  /** Resolves when what was being read is in use. */
  settled(): Promise<void> {
    return this.looking;
  }

  private async lookFirst(wanted: readonly ListenTls[]): Promise<void> {
    const turns = new Turns(this.options.clock);
    for (const source of this.sources()) await this.refresh(source, false, turns);
    if (this.isClosed || this.wanted !== wanted) return;
    this.forget();
    await this.publish();
    if (wanted.length > 0 && this.timer === null) this.schedule();
  }

  /** What was published last: one for each set of TLS settings that a listener has. */
  get materials(): readonly TlsMaterial[] {
    return this.current;
  }

  /** Each certificate once. */
  statuses(): CertificateStatus[] {
    return [...this.entries.values()].map(({ certFile, pair, problem }) => ({
      file: certFile,
      names: pair?.certificate.names ?? [],
      untilMs: pair?.untilMs ?? null,
      fingerprint: pair?.fingerprint ?? '',
      problem: problem !== '' ? problem : this.lateness(pair),
    }));
  }

  /** What is wrong now, human-readable. */
  problems(): string[] {
    return [
      ...this.statuses().flatMap((status) => this.problemOf(status)),
      ...[...this.folderProblems.values()].filter((problem) => problem !== ''),
      ...[...this.authorities]
        .filter(([, { problem }]) => problem !== '')
        .map(([file, { problem }]) => `CA file ${file}: ${problem}`),
    ];
  }

  private problemOf({ file, untilMs, problem }: CertificateStatus): string[] {
    if (problem !== '') return [`certificate ${file}: ${problem}`];
    if (untilMs === null || untilMs > this.options.clock.wallMs() + SOON_MS) return [];
    return [`certificate ${file} expires at ${new Date(untilMs).toISOString()}`];
  }

  close(): void {
    this.isClosed = true;
    this.timer?.cancel();
    this.timer = null;
  }

  private lateness(pair: Pair | null): string {
    return pair === null ? '' : untimely(pair, this.options.clock.wallMs());
  }

  private sources(): CertificateSource[] {
    return this.wanted.flatMap(({ certificates }) => certificates);
  }

  private schedule(): void {
    if (this.isClosed) return;
    this.timer = this.options.clock.setTimer(LOOK_MS, () => {
      this.timer = null;
      this.looking = this.looking.then(() => this.look());
    });
  }

  private async look(): Promise<void> {
    const { clock } = this.options;
    const { wanted } = this;
    const nowMs = clock.nowMs();
    const isDue = nowMs - this.ticketKeyMs >= TICKET_KEY_MS;
    if (isDue) {
      this.ticketKey = randomBytes(TICKET_KEY_BYTES);
      this.ticketKeyMs = nowMs;
    }
    const turns = new Turns(clock, REST_MS);
    let hasChanged = isDue;
    for (const source of this.sources()) {
      if (await this.refresh(source, true, turns)) hasChanged = true;
    }
    if (await this.refreshAuthorities()) hasChanged = true;
    // What is wanted now is looked at next.
    if (this.isClosed || this.wanted !== wanted) return;
    if (hasChanged) {
      this.forget();
      await this.publish();
    }
    if (this.timer === null) this.schedule();
  }

  /** Looks at a source; `isWatching`: what has changed must stand still first. True: others are in use. */
  private async refresh(
    source: CertificateSource,
    isWatching: boolean,
    turns: Turns,
  ): Promise<boolean> {
    const key = JSON.stringify(source);
    const before = this.bySource.get(key);
    let pairs: readonly PairFiles[];
    let signatures: readonly string[];
    try {
      pairs = await pairsOf(source);
      signatures = await signaturesOf(pairs);
      this.tellFolder(key, pairs.length === 0 ? `${placeOf(source)}: there is no certificate` : '');
    } catch (error) {
      this.tellFolder(key, `${placeOf(source)}: ${messageOf(error)}`);
      // What was there stays in use.
      return false;
    }
    if (this.isClosed || (pairs.length === 0 && before !== undefined)) return false;
    const names = pairs.map(nameOf);
    this.bySource.set(key, names);
    let hasChanged = before?.join('\n') !== names.join('\n');
    for (const [i, files] of pairs.entries()) {
      if (await this.refreshPair(files, signatures[i]!, isWatching)) hasChanged = true;
      if (turns.isOver) await turns.next();
      if (this.isClosed) return false;
    }
    return hasChanged;
  }

  private tellFolder(key: string, problem: string): void {
    if (problem !== '' && this.folderProblems.get(key) !== problem) {
      this.options.log.error({}, `certificates: ${problem}`);
    }
    this.folderProblems.set(key, problem);
  }

  private async refreshPair(
    files: PairFiles,
    signature: string,
    isWatching: boolean,
  ): Promise<boolean> {
    const entry = this.entries.get(nameOf(files));
    if (entry?.signature === signature) {
      entry.changing = '';
      return false;
    }
    if (entry !== undefined && isWatching && entry.changing !== signature) {
      entry.changing = signature;
      return false;
    }
    try {
      return await this.take(files, signature, entry ?? null);
    } catch (error) {
      // Its disk does not answer: it is looked at again.
      this.options.log.error({}, `certificates: ${messageOf(error)}`);
      return false;
    }
  }

  /** Reads the files. True: the certificate is in use from now on. Rejects where the disk does not answer. */
  private async take(files: PairFiles, signature: string, before: Entry | null): Promise<boolean> {
    const { log, clock } = this.options;
    const found = await readFiles(files);
    const late = 'pair' in found ? untimely(found.pair, clock.wallMs()) : '';
    // That what is ordered is not there yet, the order tells.
    const isAwaited = files.isOrdered === true && signature.startsWith('ENOENT');
    const problem = isAwaited ? '' : 'problem' in found ? found.problem : late;
    const old = before?.pair ?? null;
    // One that is not good at this time is better than none.
    const isUsed = 'pair' in found && (late === '' || old === null);
    const pair = isUsed ? found.pair : old;
    const entry = { ...files, signature, changing: '', pair, problem };
    this.entries.set(nameOf(files), entry);
    const fields = { certificate: files.certFile, key: files.keyFile };
    if (problem !== '') {
      const kept = old === null ? '' : '; the one before stays in use';
      log.error({ ...fields, problem }, `certificate ${files.certFile}: ${problem}${kept}`);
    } else if (old !== null) {
      log.info({ ...fields, names: pair!.certificate.names }, 'certificate replaced');
    }
    const exposure = isUsed ? exposureBy(await modeInTime(files.keyFile)) : '';
    if (exposure !== '') log.warn(fields, `private key ${files.keyFile}: ${exposure}`);
    return isUsed;
  }

  /** True where CA certificates are others than before. */
  private async refreshAuthorities(): Promise<boolean> {
    const paths = new Set(this.wanted.map(({ clientCaFile }) => clientCaFile));
    let hasChanged = false;
    for (const path of paths) {
      if (path !== '' && (await this.readAuthority(path))) hasChanged = true;
    }
    for (const path of this.authorities.keys()) if (!paths.has(path)) this.authorities.delete(path);
    return hasChanged;
  }

  private async readAuthority(path: string): Promise<boolean> {
    const known = this.authorities.get(path) ?? { text: '', problem: '' };
    try {
      const text = await readAuthorities(path);
      this.authorities.set(path, { text, problem: '' });
      return text !== known.text;
    } catch (error) {
      const problem = messageOf(error);
      if (problem !== known.problem) this.options.log.error({}, `CA file ${path}: ${problem}`);
      this.authorities.set(path, { ...known, problem });
      return false;
    }
  }

  /** What no source has any more. */
  private forget(): void {
    const keys = new Set(this.sources().map((source) => JSON.stringify(source)));
    for (const key of this.bySource.keys()) if (!keys.has(key)) this.bySource.delete(key);
    for (const key of this.folderProblems.keys()) {
      if (!keys.has(key)) this.folderProblems.delete(key);
    }
    const names = new Set([...this.bySource.values()].flat());
    for (const name of this.entries.keys()) if (!names.has(name)) this.entries.delete(name);
  }

  private async publish(): Promise<void> {
    await this.refreshAuthorities();
    if (this.isClosed) return;
    const materials = this.wanted.map((tls) => this.materialOf(tls));
    if (materials.length === 0 && this.current.length === 0) return;
    this.current = materials;
    this.options.onChange(materials);
  }

  private materialOf(tls: ListenTls): TlsMaterial {
    const names = tls.certificates.flatMap(
      (source) => this.bySource.get(JSON.stringify(source)) ?? [],
    );
    const { minVersion, clientAuth, clientCaFile } = tls;
    const clientCa = this.authorities.get(clientCaFile)?.text ?? '';
    // Without a CA every client would be refused, or none: it is refused as a whole.
    const isLost = clientAuth !== 'off' && clientCa === '';
    return {
      key: materialKey(tls),
      certificates: isLost
        ? []
        : [...new Set(names)].flatMap((name) => this.entries.get(name)?.pair?.certificate ?? []),
      minVersion,
      clientAuth,
      clientCa,
      ticketKey: this.ticketKey,
    };
  }
}

function nameOf({ certFile, keyFile }: PairFiles): string {
  return `${certFile}\n${keyFile}`;
}
