// The certificates that are ordered, over time. Every second it is looked whether one is due, and which
// challenges lie in the folders; one attempt is made at a time. A certificate reaches listeners by its
// file, which the store follows as any other. Per certificate:
//   valid -> ordering -> valid | waiting (after a failure) | elsewhere (another process has the lock)
import { join } from 'node:path';
import type { Clock, Timer } from '../../base/clock.ts';
import { codeOf, messageOf } from '../../base/coded-error.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/prng.ts';
import type {
  AcmeSettings,
  AcmeStatus,
  Challenge,
  ChallengeTable,
  ChallengeType,
} from '../../model/acme.ts';
import { readFiles, signaturesOf } from '../files.ts';
import type { AttemptOptions } from './attempt.ts';
import { AcmeFolder, type Attempts } from './folder.ts';
import { FolderLock } from './lock.ts';
import { caFolderOf, certificateFileOf } from './place.ts';
import type { AcmeError } from './problem.ts';
import { failureWaitMs, NEXT_MS_MAX, pauseMs, renewalMs } from './schedule.ts';

const LOOK_MS = 1000;
const NOTHING = JSON.stringify({ domains: [], challenges: [] });
/** When it is looked again, where another process orders. */
const ELSEWHERE_MS = 5000;

export interface AcmeKeeperOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Makes one attempt; given when it is first needed, with the library that speaks to CAs. */
  readonly loadObtain: () => Promise<(options: AttemptOptions) => Promise<string>>;
  /** Resolves when the listeners of this process answer these challenges, and no others. */
  readonly answer: (table: ChallengeTable) => Promise<void>;
}

interface Job {
  readonly acme: AcmeSettings;
  readonly file: string;
  /** Of its files in the folder. */
  readonly name: string;
  readonly place: Place;
  readonly ending: AbortController;
  state: AcmeStatus['state'];
  /** Of the certificate's file, as it was read last. */
  signature: string;
  /** When the certificate in the file is to be renewed; 0: there is none of use. */
  renewMs: number;
  /** When it expires; 0 likewise. */
  untilMs: number;
  /** Nothing is tried before. */
  heldMs: number;
  attempts: Attempts | null;
  renewedMs: number | null;
  renewals: number;
  failures: number;
  error: string;
}

/** One CA's folder. */
interface Place {
  readonly folder: AcmeFolder;
  readonly lock: FolderLock;
  challenges: readonly Challenge[];
}

export class AcmeKeeper {
  private readonly options: AcmeKeeperOptions;
  /** By file. */
  private readonly jobs = new Map<string, Job>();
  /** By folder. */
  private readonly places = new Map<string, Place>();
  private types: readonly ChallengeType[] = [];
  /** Challenges of the attempt that is being made. */
  private own: readonly Challenge[] = [];
  private answered = NOTHING;
  private timer: Timer | null = null;
  private isLooking = false;
  /** What went wrong in the last look that did. */
  private told = '';
  private running: Promise<void> = Promise.resolve();
  private isRunning = false;
  private isClosed = false;

  constructor(options: AcmeKeeperOptions) {
    this.options = options;
  }

  /** These are wanted from now on. `types`: what listeners can answer, the preferred first. */
  follow(wanted: readonly AcmeSettings[], types: readonly ChallengeType[]): void {
    this.types = types;
    const byFile = new Map(wanted.map((acme) => [certificateFileOf(acme), acme]));
    for (const [file, job] of this.jobs) {
      const acme = byFile.get(file);
      if (acme !== undefined && JSON.stringify(acme) === JSON.stringify(job.acme)) continue;
      job.ending.abort();
      this.jobs.delete(file);
    }
    for (const [file, acme] of byFile) {
      if (!this.jobs.has(file)) this.jobs.set(file, this.begin(acme, file));
    }
    if (this.jobs.size > 0 && !this.isClosed) this.timer ??= this.schedule();
    void this.answer();
  }

  /** By file of the certificate. */
  statuses(): ReadonlyMap<string, AcmeStatus> {
    return new Map([...this.jobs].map(([file, job]) => [file, this.statusOf(job)]));
  }

  /** What has gone wrong, human-readable. */
  problems(): string[] {
    return [...this.jobs.values()].flatMap(({ acme, error, heldMs }) => {
      if (error === '') return [];
      const next = new Date(heldMs).toISOString();
      return [`no certificate for ${acme.domains.join(', ')}: ${error}; next attempt at ${next}`];
    });
  }

  /** Gives up what is under way; resolves when its traces in the folder are gone. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.timer?.cancel();
    this.timer = null;
    for (const job of this.jobs.values()) job.ending.abort();
    await this.running;
  }

  private begin(acme: AcmeSettings, file: string): Job {
    const path = caFolderOf(acme);
    let place = this.places.get(path);
    if (place === undefined) {
      const lock = new FolderLock(join(path, 'lock'), this.options.clock);
      place = { folder: new AcmeFolder(path), lock, challenges: [] };
      this.places.set(path, place);
    }
    const name = acme.domains[0]!;
    return {
      acme,
      file,
      name,
      place,
      ending: new AbortController(),
      state: 'valid' as const,
      signature: 'never',
      renewMs: 0,
      untilMs: 0,
      heldMs: -1,
      attempts: null,
      renewedMs: null,
      renewals: 0,
      failures: 0,
      error: '',
    };
  }

  private statusOf(job: Job): AcmeStatus {
    const { acme, state, renewedMs, renewals, failures, error } = job;
    const { directory, domains } = acme;
    const nextMs = Math.max(job.renewMs, job.heldMs, 0);
    return { directory, domains, state, renewedMs, nextMs, renewals, failures, error };
  }

  // Looking

  private schedule(): Timer {
    return this.options.clock.setTimer(LOOK_MS, () => {
      const isIdle = this.jobs.size === 0 && this.answered === NOTHING;
      this.timer = this.isClosed || isIdle ? null : this.schedule();
      void this.look();
    });
  }

  private async look(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    try {
      await this.readChallenges();
      for (const job of this.jobs.values()) {
        await this.refresh(job);
        if (this.isClosed) return;
        if (this.isDue(job) && !this.isRunning) this.run(job);
      }
    } catch (error) {
      this.tell(messageOf(error));
    } finally {
      this.isLooking = false;
    }
  }

  /** Once, while a disk does not answer. */
  private tell(problem: string): void {
    if (problem === this.told) return;
    this.told = problem;
    this.options.log.error({}, `ACME: ${problem}`);
  }

  /** Any of the processes that share a folder may be the one whom the CA reaches. */
  private async readChallenges(): Promise<void> {
    const used = new Set([...this.jobs.values()].map(({ place }) => place));
    for (const [path, place] of this.places) {
      if (!used.has(place)) this.places.delete(path);
      else {
        place.challenges = await place.folder
          .challenges(this.wallMs)
          // What was outstanding before its disk hung may be asked for.
          .catch((error: unknown) => (codeOf(error) === 'hanging' ? place.challenges : []));
      }
    }
    await this.answer();
  }

  private async answer(): Promise<void> {
    const all = [...this.own, ...[...this.places.values()].flatMap(({ challenges }) => challenges)];
    const unique = [...new Map(all.map((one) => [JSON.stringify(one), one])).values()];
    const domains = [...this.jobs.values()].flatMap(({ acme }) => acme.domains);
    const table = { domains, challenges: unique };
    const text = JSON.stringify(table);
    if (text === this.answered) return;
    this.answered = text;
    await this.options.answer(table);
  }

  /** Reads the certificate's file where it is another one than before, and goes by it. */
  private async refresh(job: Job): Promise<void> {
    const files = { certFile: job.file, keyFile: job.file };
    const [signature = ''] = await signaturesOf([files]);
    if (job.heldMs < 0) await this.recall(job);
    const isNew = signature !== job.signature;
    if (isNew) await this.read(job, signature);
    if (job.state === 'ordering' || (job.state === 'valid' && !isNew)) return;
    // It came from another process, perhaps while an attempt here was failing, or finding the lock taken.
    if (job.renewMs > this.wallMs) this.settle(job);
  }

  private async read(job: Job, signature: string): Promise<void> {
    const found = await readFiles({ certFile: job.file, keyFile: job.file });
    // Not before: an attempt that ends meanwhile needs to know as well.
    job.signature = signature;
    const isWhole =
      'pair' in found &&
      job.acme.domains.every((name) => found.pair.certificate.names.includes(name));
    const { fromMs, untilMs } = isWhole ? found.pair : { fromMs: 0, untilMs: 0 };
    job.renewMs = isWhole ? renewalMs(fromMs, untilMs, this.options.random) : 0;
    job.untilMs = untilMs;
    if (isWanted(signature, job.error)) job.heldMs = 0;
  }

  private settle(job: Job): void {
    job.state = 'valid';
    job.heldMs = 0;
    job.error = '';
  }

  /** What attempts have come to before, here or in another process. */
  private async recall(job: Job): Promise<void> {
    try {
      job.attempts = await job.place.folder.readAttempts(job.name);
    } catch (error) {
      job.attempts = null;
      this.options.log.warn({}, `ACME: ${messageOf(error)}`);
    }
    // For other names, what was refused before says nothing.
    if (JSON.stringify(job.attempts?.domains) !== JSON.stringify(job.acme.domains)) {
      job.attempts = null;
    }
    const { nextMs = 0, error = '' } = job.attempts ?? {};
    // A clock that was wrong must not hold it for ever.
    const isWrong = nextMs > this.wallMs + NEXT_MS_MAX;
    const [signature = ''] = await signaturesOf([{ certFile: job.file, keyFile: job.file }]);
    job.heldMs = isWrong || isWanted(signature, error) ? 0 : Math.max(0, nextMs);
    job.error = error;
    if (error !== '') job.state = 'waiting';
  }

  private isDue(job: Job): boolean {
    return this.wallMs >= Math.max(job.renewMs, job.heldMs);
  }

  private get wallMs(): number {
    return this.options.clock.wallMs();
  }

  // Attempts

  private run(job: Job): void {
    this.isRunning = true;
    this.running = this.attempt(job)
      .catch((error: unknown) => this.options.log.error({}, `ACME: ${messageOf(error)}`))
      .finally(() => {
        this.isRunning = false;
      });
  }

  private async attempt(job: Job): Promise<void> {
    const { folder, lock } = job.place;
    try {
      await folder.prepare();
      const exposure = await folder.exposure();
      if (exposure !== '') this.options.log.warn({}, `ACME: ${exposure}`);
      if (!(await lock.take())) {
        job.state = 'elsewhere';
        job.heldMs = this.wallMs + ELSEWHERE_MS;
        return;
      }
    } catch (error) {
      return this.fail(job, error);
    }
    try {
      // Who had the lock before may have done it, or failed.
      await this.recall(job);
      await this.refresh(job);
      if (this.isDue(job)) await this.order(job);
    } finally {
      await lock.release();
    }
  }

  private async order(job: Job): Promise<void> {
    const { acme, place, name, ending } = job;
    const { clock, log } = this.options;
    const { signal } = ending;
    job.state = 'ordering';
    log.info({ domains: acme.domains, directory: acme.directory }, 'ordering a certificate');
    try {
      const obtain = await this.options.loadObtain();
      const text = await obtain({
        acme,
        folder: place.folder,
        clock,
        log,
        signal,
        types: this.typesFor(job),
        order: await openOrderOf(job),
        keepOrder: (order) => this.keep(job, { order }),
        show: (challenges) => {
          this.own = challenges;
          return this.answer();
        },
      });
      await place.folder.writeCertificate(name, text);
      await this.succeed(job);
    } catch (error) {
      if (!signal.aborted) await this.fail(job, error);
    }
  }

  /** After a failure another challenge is tried, where there is one. */
  private typesFor({ acme, attempts }: Job): readonly ChallengeType[] {
    if (acme.challenge !== 'auto') return [acme.challenge];
    const types = this.types.length > 0 ? this.types : (['http-01'] as const);
    const turn = (attempts?.failures ?? 0) % types.length;
    return [...types.slice(turn), ...types.slice(0, turn)];
  }

  private async succeed(job: Job): Promise<void> {
    // First: it is not said to be there before it is known how long it lasts.
    await this.refresh(job);
    job.renewals += 1;
    job.renewedMs = this.wallMs;
    this.settle(job);
    // Where a clock is wrong, or a CA issues what is nearly over, it is not asked all the time.
    job.heldMs = this.wallMs + pauseMs(job.untilMs - this.wallMs);
    const { acme, file, renewMs, heldMs } = job;
    const fields = { domains: acme.domains, certificate: file, renewal: renewMs };
    this.options.log.info(fields, 'certificate received');
    // It is there: what is wrong with the notes about it is for the next attempt.
    await this.keep(job, { failures: 0, nextMs: heldMs, error: '', order: null });
  }

  private async fail(job: Job, error: unknown): Promise<void> {
    const { acme, name } = job;
    const { type = '', isUnreached = false, retryAfterMs = 0 } = error as Partial<AcmeError>;
    const failures = (job.attempts?.failures ?? 0) + 1;
    const failure = { isUnreached, retryAfterMs };
    const nextMs = this.wallMs + failureWaitMs(failures, failure, this.options.random);
    job.failures += 1;
    job.state = 'waiting';
    job.heldMs = nextMs;
    job.error = messageOf(error);
    const fields = { domains: acme.domains, directory: acme.directory, type, failures };
    const next = new Date(nextMs).toISOString();
    const text = `no certificate for ${acme.domains.join(', ')}: ${job.error}`;
    this.options.log.error({ ...fields, certificate: name, next }, text);
    const known = { failures, nextMs, error: job.error };
    // Where the folder is the reason, this fails as well: it is held back here nevertheless.
    await this.keep(job, known).catch(() => {});
  }

  private async keep(job: Job, part: Partial<Attempts>): Promise<void> {
    const { domains } = job.acme;
    const none = { domains, failures: 0, nextMs: 0, error: '', order: null };
    job.attempts = { ...none, ...job.attempts, ...part };
    await job.place.folder.writeAttempts(job.name, job.attempts);
  }
}

/** Whoever removes the file of a certificate wants another one; after a failure that changes nothing. */
function isWanted(signature: string, error: string): boolean {
  return error === '' && signature.startsWith('ENOENT');
}

/** The order that an attempt goes on with; null where it has led to the certificate in the file. */
async function openOrderOf({ attempts, file }: Job): Promise<Attempts['order']> {
  const order = attempts?.order ?? null;
  if (order === null) return null;
  const found = await readFiles({ certFile: file, keyFile: file });
  const isDone = 'pair' in found && found.pair.certificate.privateKey.includes(order.key.trim());
  return isDone ? null : order;
}
