// The file provider: target groups from files, read again when they change.
import { createHash } from 'node:crypto';
import type { Clock, Timer } from '../../base/clock.ts';
import { CodedError, codeOf, messageOf } from '../../base/coded-error.ts';
import { piecesOf } from '../../base/json-body.ts';
import type { Logger } from '../../base/log.ts';
import { Turns } from '../../base/turns.ts';
import { BOUNDS, excessOf, formatBound } from '../../model/bounds.ts';
import type { FileSettings } from '../../model/registries/file.ts';
import type { ServiceSource } from '../../model/source.ts';
import { Contact } from '../contact.ts';
import { readGroups } from '../group-list.ts';
import type { Resolve } from '../host-names.ts';
import { ListedServices } from '../listed-services.ts';
import { Origins } from '../origins.ts';
import type { Provider, ProviderStatus, Update } from '../provider.ts';
import { type Targets, targetSteps } from '../target-groups.ts';
import type { Files } from './door.ts';

/** Whoever writes a file may take a while: it is read when nothing has changed for so long. */
const SETTLE_MS = 50;
/** ... or when something has changed for so long: whoever writes all the time keeps nobody waiting. */
const SETTLE_MS_MAX = 500;
/** Reading takes this share of the time of the thread at the most, however often files change. */
const READ_SHARE = 0.02;
/** A change of which the system does not tell (network mounts) is found so late. */
const LOOK_MS = 30_000;
/** The same where the system can't watch at all (its watches are bounded), and while a disk does not answer. */
const UNWATCHED_LOOK_MS = 2000;

export interface FileProviderOptions {
  readonly settings: FileSettings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly files: Files;
  readonly resolve: Resolve;
}

export class FileProvider implements Provider {
  readonly name = 'file';
  private readonly options: FileProviderOptions;
  private readonly services: ListedServices;
  private readonly contact: Contact;
  private readonly origins = new Origins();
  /** What each file said when it was read last, as a hash, to pass over what is the same. */
  private readonly versions = new Map<string, { readonly hash: string; readonly bytes: number }>();
  private watchers: { close(): void }[] = [];
  private timer: Timer | null = null;
  private isReading = false;
  /** Clock.nowMs() of the first change that is not read yet; null for none. */
  private changedMs: number | null = null;
  private lookMs = LOOK_MS;
  /** A disk did not answer when it was read last. */
  private isHanging = false;
  /** Clock.nowMs() before which nothing is read again. */
  private restUntilMs = 0;
  private hasRead = false;
  private isStopped = false;

  constructor(options: FileProviderOptions) {
    this.options = options;
    const { clock, log, resolve } = options;
    this.services = new ListedServices({ provider: this.name, clock, log, resolve });
    this.contact = new Contact({ registry: this.name, clock, log });
  }

  follow(sources: readonly ServiceSource[]): void {
    this.services.follow(sources);
  }

  start(onUpdate: (update: Update) => void): void {
    const { settings, files, log } = this.options;
    this.services.start(onUpdate);
    this.watchers = settings.paths.map((path) =>
      files.watch(
        path,
        () => this.readSoon(),
        (err) => {
          this.lookMs = UNWATCHED_LOOK_MS;
          log.warn({ path, err }, `can't watch; it is read every ${UNWATCHED_LOOK_MS / 1000} s`);
        },
      ),
    );
    void this.read();
  }

  status(): ProviderStatus {
    const { lastSyncMs, errors, lastError } = this.contact;
    return {
      name: this.name,
      isSynced: this.hasRead && this.services.isSynced,
      lastSyncMs,
      errors,
      lastError,
      address: this.options.settings.paths.join(', '),
      watches: this.watchers.length,
    };
  }

  stop(): Promise<void> {
    this.isStopped = true;
    this.timer?.cancel();
    for (const watcher of this.watchers) watcher.close();
    this.services.close();
    return Promise.resolve();
  }

  private readSoon(): void {
    if (this.isStopped) return;
    const nowMs = this.options.clock.nowMs();
    this.changedMs ??= nowMs;
    if (this.isReading) return;
    this.awaitRead(Math.max(0, Math.min(SETTLE_MS, this.changedMs + SETTLE_MS_MAX - nowMs)));
  }

  /** Not before what the last one took has come back. */
  private awaitRead(delayMs: number): void {
    const { clock } = this.options;
    this.timer?.cancel();
    const waitMs = Math.max(delayMs, this.restUntilMs - clock.nowMs());
    this.timer = clock.setTimer(waitMs, () => void this.read());
  }

  /** What changes meanwhile is read after that. */
  private async read(): Promise<void> {
    const { clock } = this.options;
    this.isReading = true;
    this.changedMs = null;
    this.isHanging = false;
    const turns = new Turns(clock);
    await this.readAll(turns);
    this.restUntilMs = clock.nowMs() + turns.spentMs * (1 / READ_SHARE - 1);
    this.isReading = false;
    if (this.isStopped) return;
    const lookMs = this.isHanging ? UNWATCHED_LOOK_MS : this.lookMs;
    this.awaitRead(this.changedMs === null ? lookMs : SETTLE_MS);
  }

  private async readAll(turns: Turns): Promise<void> {
    const { clock, settings } = this.options;
    const present = new Set<string>();
    const changed: string[] = [];
    for (const path of settings.paths) {
      const files = await turns.apart(this.listed(path));
      if (this.isStopped) return;
      for (const file of files) {
        present.add(file);
        if (await this.readOne(file, turns)) changed.push(file);
        if (this.isStopped) return;
        if (turns.isOver) await turns.next();
        if (this.isStopped) return;
      }
    }
    for (const file of [...this.versions.keys()]) {
      if (present.has(file)) continue;
      this.versions.delete(file);
      this.contact.forget(file);
    }
    const hasLost = this.origins.keepOnly(present);
    // A file that could never be read may have anything in it.
    const isWhole = [...present].every((file) => this.origins.has(file));
    const isFirst = !this.hasRead && isWhole;
    this.hasRead ||= isWhole;
    if (!this.hasRead || (!isFirst && !hasLost && changed.length === 0)) return;
    const change = `${changed.join(', ') || 'a file'} ${changed.length === 0 ? 'is gone' : 'read'}`;
    this.services.take(this.origins.merged(), { doubt: '', change, receivedMs: clock.nowMs() });
  }

  /** The files of a path; those that are known, where it can't be listed now. */
  private async listed(path: string): Promise<readonly string[]> {
    try {
      const files = await this.options.files.list(path);
      this.contact.forget(path);
      return files;
    } catch (error) {
      this.fail(path, error);
      return [...this.versions.keys()];
    }
  }

  /** True where it says something else than before. A file that is wrong leaves what it said. */
  private async readOne(file: string, turns: Turns): Promise<boolean> {
    try {
      const bytes = await turns.apart(this.options.files.read(file, BOUNDS.targetFile.max));
      const hash = createHash('sha256').update(bytes).digest('base64');
      if (this.versions.get(file)?.hash === hash) return false;
      this.refuseExcess(file, bytes.length);
      const { list, problem } = await this.targetsOf(file, bytes, turns);
      this.origins.set(file, list);
      this.versions.set(file, { hash, bytes: bytes.length });
      this.contact.answered(file, file);
      this.contact.tellExcess(file, problem);
      return true;
    } catch (error) {
      // It is told again, and read again, when it is another text.
      this.versions.delete(file);
      this.fail(file, error);
      return false;
    }
  }

  /** Throws where all files together are too large with this one. */
  private refuseExcess(file: string, bytes: number): void {
    let sum = bytes;
    for (const [other, one] of this.versions) if (other !== file) sum += one.bytes;
    const bound = BOUNDS.targetFilesSize;
    if (sum > bound.max) {
      throw new CodedError('too-large', `more than ${formatBound(bound)} with the other files`);
    }
  }

  private async targetsOf(file: string, bytes: Buffer, turns: Turns): Promise<Targets> {
    const { tagPrefix } = this.options.settings;
    // A file that is named for its service needs no label.
    const service = /([^/]+?)(?:\.[^./]*)?$/.exec(file)?.[1] ?? '';
    const groups = await this.groupsOf(file, bytes);
    const targets = await turns.run(targetSteps(groups, { service, tagPrefix }));
    if (targets === null) {
      throw new CodedError('not-a-list', 'expected a list of maps with targets and labels');
    }
    return targets;
  }

  /** JSON where the name says so, else YAML, which takes longer. Throws CodedError. */
  private async groupsOf(file: string, bytes: Buffer): Promise<unknown> {
    const { clock, files } = this.options;
    const { targetFile, targetYaml } = BOUNDS;
    const limit = {
      max: targetFile.max,
      excess: () => new CodedError('too-large', excessOf(targetFile)),
    };
    if (file.endsWith('.json')) return readGroups(piecesOf(bytes), limit, clock);
    if (bytes.length > targetYaml.max) {
      const most = formatBound(targetYaml);
      throw new CodedError('too-large', `YAML of more than ${most}: write it as .json`);
    }
    const answer = await files.readYaml(bytes.toString());
    if ('problem' in answer) throw new CodedError('not-yaml', answer.problem);
    return readGroups(piecesOf(Buffer.from(answer.json)), limit, clock);
  }

  private fail(what: string, error: unknown): void {
    const code = codeOf(error) ?? 'not-read';
    if (code === 'hanging') this.isHanging = true;
    const failure = { code, message: `${what}: ${messageOf(error)}`, isRefusal: false };
    this.contact.failed(what, failure, what);
  }
}
