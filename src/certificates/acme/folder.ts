// The folder of one CA on disk: account, certificates, what is known of attempts, challenges that are
// outstanding. Every file is readable by its owner alone and replaced as a whole, so that whoever
// shares the folder (a process beside this one, another host) reads it whole or not at all.
import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CodedError, codeOf, messageOf } from '../../base/coded-error.ts';
import { fieldsOf } from '../../base/foreign.ts';
import { exposureBy } from '../../base/regular-file.ts';
import { changeInTime, inTime, modeInTime, readInTime } from '../../base/timely-file.ts';
import { type Challenge, TOKEN_PATTERN } from '../../model/acme.ts';
import { BOUNDS } from '../../model/bounds.ts';

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
/** What a process left that has ended is removed after this. */
const CHALLENGE_MS_MAX = 3_600_000;
const CHALLENGES = 'challenges';
const ACCOUNT = 'account.json';

export interface Account {
  /** '' while the CA has not made it. */
  readonly url: string;
  /** PEM. */
  readonly key: string;
  /** The terms of service that were agreed to; '' for none. */
  readonly terms: string;
}

/** What is kept of a certificate's attempts, so that a restart neither hurries nor orders twice. */
export interface Attempts {
  readonly domains: readonly string[];
  /** Failures in a row. */
  readonly failures: number;
  /** ms since the epoch; 0: no attempt is held back. */
  readonly nextMs: number;
  readonly error: string;
  /** An order that is under way, with the key of its certificate (PEM). */
  readonly order: { readonly url: string; readonly key: string } | null;
}

export class AcmeFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Makes what is missing. Throws CodedError `acme-folder`. */
  async prepare(): Promise<void> {
    try {
      await changeInTime(join(this.path, '*'), async () => {
        await mkdir(join(this.path, CHALLENGES), { recursive: true, mode: FOLDER_MODE });
        await access(this.path, constants.R_OK | constants.W_OK | constants.X_OK);
      });
    } catch (error) {
      throw new CodedError('acme-folder', `${this.path}: ${messageOf(error)}`);
    }
  }

  /** That others may read the account's key, human-readable; '' where they may not. */
  async exposure(): Promise<string> {
    const path = join(this.path, ACCOUNT);
    const exposure = exposureBy(await modeInTime(path));
    return exposure === '' ? '' : `key of the account, ${path}: ${exposure}`;
  }

  /** Null before the first account. Rejects with CodedError `acme-folder` where the file is none of ours. */
  async readAccount(): Promise<Account | null> {
    const found = await this.readJson(ACCOUNT);
    if (found === null) return null;
    const { url, key, terms } = found;
    if (!isText(url) || !isText(key) || !isText(terms)) {
      const place = join(this.path, ACCOUNT);
      throw new CodedError('acme-folder', `${place}: expected url, key and terms`);
    }
    return { url, key, terms };
  }

  writeAccount(account: Account): Promise<void> {
    return this.write(ACCOUNT, JSON.stringify(account));
  }

  /** What is known of the attempts for `name`; null where there is nothing of use. */
  async readAttempts(name: string): Promise<Attempts | null> {
    const found = await this.readJson(`${name}.json`);
    if (found === null) return null;
    const { domains, failures, nextMs, error, order } = found;
    if (!Array.isArray(domains) || !domains.every(isText)) return null;
    if (typeof failures !== 'number' || typeof nextMs !== 'number' || !isText(error)) return null;
    const known = order as Attempts['order'];
    const isOrder = known !== null && isText(known?.url) && isText(known.key);
    return { domains, failures, nextMs, error, order: isOrder ? known : null };
  }

  writeAttempts(name: string, attempts: Attempts): Promise<void> {
    return this.write(`${name}.json`, JSON.stringify(attempts));
  }

  /** `text`: chain and key in one file, so that they are replaced together. */
  writeCertificate(name: string, text: string): Promise<void> {
    return this.write(`${name}.pem`, text);
  }

  // Challenges: any process that shares the folder may be the one that the CA reaches.

  writeChallenge(challenge: Challenge): Promise<void> {
    return this.write(join(CHALLENGES, challengeName(challenge)), JSON.stringify(challenge));
  }

  /** Nothing happens where it is gone already. */
  async removeChallenge(challenge: Challenge): Promise<void> {
    const path = join(this.path, CHALLENGES, challengeName(challenge));
    await changeInTime(path, () => rm(path, { force: true }));
  }

  /**
   * Every challenge that is outstanding; what is old is removed. `nowMs`: since the epoch. Rejects with CodedError
   * `hanging` where the disk does not answer.
   */
  async challenges(nowMs: number): Promise<Challenge[]> {
    const folder = join(this.path, CHALLENGES);
    const all = await inTime(join(folder, '*'), () => readdir(folder));
    const names = all.filter((name) => name.endsWith('.json'));
    const found: Challenge[] = [];
    for (const name of names.slice(0, BOUNDS.acmeChallenges.max)) {
      const one = await this.challengeAt(join(folder, name), nowMs);
      if (one !== null) found.push(one);
    }
    return found;
  }

  private async challengeAt(path: string, nowMs: number): Promise<Challenge | null> {
    try {
      if (nowMs - (await inTime(path, () => stat(path))).mtimeMs > CHALLENGE_MS_MAX) {
        await changeInTime(path, () => rm(path, { force: true }));
        return null;
      }
      const text = (await readInTime(path, BOUNDS.acmeFile.max)).toString();
      return asChallenge(JSON.parse(text));
    } catch {
      // It was answered meanwhile, or is none: another process's matter.
      return null;
    }
  }

  private async readJson(name: string): Promise<Record<string, unknown> | null> {
    const path = join(this.path, name);
    try {
      const bytes = await readInTime(path, BOUNDS.acmeFile.max);
      const read: unknown = JSON.parse(bytes.toString());
      if (typeof read !== 'object' || read === null) throw new Error('expected an object');
      return read as Record<string, unknown>;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return null;
      // The parser would quote the key that stands in it.
      const why = error instanceof SyntaxError ? 'expected JSON' : messageOf(error);
      throw new CodedError('acme-folder', `${path}: ${why}`);
    }
  }

  private async write(name: string, text: string): Promise<void> {
    const path = join(this.path, name);
    try {
      await changeInTime(path, () => replaceFile(path, text));
    } catch (error) {
      throw new CodedError('acme-folder', `can't write ${path}: ${messageOf(error)}`);
    }
  }
}

/** Why this process can't keep anything in a folder; '' where it can, or could make it. */
export async function folderProblem(path: string): Promise<string> {
  for (let place = path; ; place = dirname(place)) {
    try {
      await inTime(place, () => access(place, constants.W_OK | constants.X_OK));
      return '';
    } catch (error) {
      const isMissing = codeOf(error) === 'ENOENT';
      if (!isMissing || dirname(place) === place)
        return `dir can't be written: ${messageOf(error)}`;
    }
  }
}

/** Why a file of the account can't be read; '' where it can. */
export async function readableProblem(path: string): Promise<string> {
  try {
    await readInTime(path, BOUNDS.acmeFile.max);
    return '';
  } catch (error) {
    return `eab.key_file: ${messageOf(error)}`;
  }
}

/** The file has this text from now on, or stays as it was: also when the power fails. */
async function replaceFile(path: string, text: string): Promise<void> {
  const other = `${path}.${randomBytes(6).toString('hex')}.new`;
  try {
    const file = await open(other, 'wx', FILE_MODE);
    try {
      // Whatever the umask is.
      await file.chmod(FILE_MODE);
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(other, path);
  } catch (error) {
    await rm(other, { force: true });
    throw error;
  }
  const folder = await open(dirname(path), 'r');
  // Some network file systems have no such thing for folders.
  await folder.sync().catch(() => {});
  await folder.close();
}

function challengeName(challenge: Challenge): string {
  const { type, domain } = challenge;
  const key = type === 'http-01' ? challenge.token : challenge.chain;
  const hash = createHash('sha256').update(`${type} ${domain} ${key}`).digest('hex');
  return `${hash.slice(0, 32)}.json`;
}

/** The challenge that a file holds; null where it holds none. */
function asChallenge(value: unknown): Challenge | null {
  const { type, domain, token, answer, chain, privateKey } = fieldsOf(value);
  if (!isText(domain)) return null;
  if (type === 'http-01' && isText(token) && isText(answer) && TOKEN_PATTERN.test(token)) {
    return { type, domain, token, answer };
  }
  if (type === 'tls-alpn-01' && isText(chain) && isText(privateKey)) {
    return { type, domain, chain, privateKey };
  }
  return null;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
