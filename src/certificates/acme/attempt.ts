// One attempt to get a certificate:
//   account -> order -> challenges -> finalize -> download -> checked -> in the folder
// What it has come to is kept as it goes, so that a later attempt, or the next process, goes on with the
// same order. It throws AcmeError where the CA is the reason.
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { AcmeSettings, Challenge, ChallengeType } from '../../model/acme.ts';
import { BOUNDS } from '../../model/bounds.ts';
import { readPair, untimely } from '../pair.ts';
import { bindingOf, Ca, type Offer, orderProblem } from './ca.ts';
import type { Account, AcmeFolder, Attempts } from './folder.ts';
import { AcmeError } from './problem.ts';

/** Processes that share the folder look for challenges every second, and take a while where machines are busy. */
const SPREAD_MS = 2500;
/** How long what the CA works on is waited for between two questions, where it does not say. */
const POLL_MS = { min: 1000, max: 10_000 };
/** The CA's word about the time between two questions counts within these. */
const POLL_ASKED_MS_MAX = 60_000;

type Order = Awaited<ReturnType<Ca['order']>>;

export interface AttemptOptions {
  readonly acme: AcmeSettings;
  readonly folder: AcmeFolder;
  readonly clock: Clock;
  readonly log: Logger;
  /** Gives it up. */
  readonly signal: AbortSignal;
  /** What listeners can answer, the preferred first. */
  readonly types: readonly ChallengeType[];
  /** The order of an attempt before; null for none. */
  readonly order: Attempts['order'];
  /** Keeps the order for a later attempt; null: it is of no use any more. */
  readonly keepOrder: (order: Attempts['order']) => Promise<void>;
  /** Resolves when every listener of this process answers what lies in the folder, and this. */
  readonly show: (challenges: readonly Challenge[]) => Promise<void>;
}

/**
 * Orders a certificate, or goes on with an order that was kept. Resolves with chain and key, in one text (PEM).
 * Rejects with AcmeError where the CA or its answers are at fault, and with what the folder's files reject with.
 */
export async function obtain(options: AttemptOptions): Promise<string> {
  const account = await accountOf(options.folder);
  const { acme, clock, signal } = options;
  const ca = new Ca(acme, account, { clock, signal, binding: await bindingOf(acme) });
  try {
    return await new Attempt(ca, options).run(account);
  } catch (error) {
    const isUnknown = error instanceof AcmeError && error.type === 'accountDoesNotExist';
    // The CA has forgotten it; the next attempt makes it again, with the same key.
    if (isUnknown) await options.folder.writeAccount({ ...account, url: '' });
    throw error;
  } finally {
    await ca.close();
  }
}

async function accountOf(folder: AcmeFolder): Promise<Account> {
  const known = await folder.readAccount();
  if (known !== null) return known;
  const account = { url: '', key: await Ca.newKey(), terms: '' };
  // Before the CA knows it: what is made there can be found again by its key.
  await folder.writeAccount(account);
  return account;
}

class Attempt {
  private readonly ca: Ca;
  private readonly options: AttemptOptions;
  private readonly endMs: number;

  constructor(ca: Ca, options: AttemptOptions) {
    this.ca = ca;
    this.options = options;
    this.endMs = options.clock.nowMs() + BOUNDS.acmeOrder.max;
  }

  async run(account: Account): Promise<string> {
    const { folder, keepOrder, log, acme } = this.options;
    if (account.url === '') {
      const made = await this.ca.register();
      await folder.writeAccount({ ...account, ...made });
      const fields = { directory: acme.directory, account: made.url, terms: made.terms };
      log.info(fields, 'ACME account registered; its terms of service are agreed to');
    }
    const { order, key } = await this.begin();
    try {
      const chain = await this.fulfil(order, key);
      return check(acme, chain, key, this.options.clock.wallMs());
    } catch (error) {
      // A CA that takes its time may be done at the next attempt.
      const isRefused = error instanceof AcmeError && !error.isUnreached;
      if (isRefused && !this.options.signal.aborted) await keepOrder(null);
      throw error;
    }
  }

  /** The order of before, where it is still good, or a new one. */
  private async begin(): Promise<{ order: Order; key: string }> {
    const { order: before, keepOrder } = this.options;
    if (before !== null) {
      const order = await this.again(before.url);
      if (order !== null) return { order, key: before.key };
    }
    const key = await Ca.newKey();
    const order = await this.ca.order();
    await keepOrder({ url: order.url, key });
    return { order, key };
  }

  /** The order of this URL; null where it has come to nothing. */
  private async again(url: string): Promise<Order | null> {
    try {
      const order = await this.ca.look(url);
      return order.status === 'invalid' ? null : order;
    } catch (error) {
      if (error instanceof AcmeError && !error.isUnreached) return null;
      throw error;
    }
  }

  /** Everything that an order needs to become a certificate; the chain (PEM). */
  private async fulfil(order: Order, key: string): Promise<string> {
    let now = order;
    if (now.status === 'pending') {
      await this.convince(now);
      now = await this.until(now, (status) => status !== 'pending');
    }
    if (now.status === 'ready') now = await this.ca.finalize(now, key);
    now = await this.until(now, (status) => status === 'valid');
    return this.ca.certificate(now);
  }

  private async until(order: Order, isDone: (status: string) => boolean): Promise<Order> {
    let now = order;
    for (let waitMs = POLL_MS.min; ; waitMs *= 2) {
      const problem = orderProblem(now);
      if (problem !== '') throw new AcmeError(problem);
      if (isDone(now.status)) return now;
      await this.wait(waitMs, `the order is still ${String(now.status).slice(0, 50)}`);
      now = await this.ca.look(now.url);
    }
  }

  // Challenges

  /** Answers a challenge for each name, until the CA is convinced of all. */
  private async convince(order: Order): Promise<void> {
    const open = (await this.ca.offers(order)).filter(({ isValid }) => !isValid);
    const asked = open.map((offer) => ({ offer, type: this.typeFor(offer) }));
    const challenges: Challenge[] = [];
    try {
      for (const { offer, type } of asked) {
        const challenge = await this.ca.prepare(offer, type);
        challenges.push(challenge);
        await this.options.folder.writeChallenge(challenge);
      }
      await this.options.show(challenges);
      if (challenges.length > 0) await this.pause(SPREAD_MS);
      for (const { offer, type } of asked) await this.ca.complete(offer, type);
      await this.awaitAll(order);
    } finally {
      for (const challenge of challenges) await this.options.folder.removeChallenge(challenge);
      await this.options.show([]);
    }
  }

  private typeFor({ domain, types, problem }: Offer): ChallengeType {
    if (problem !== '') throw new AcmeError(`${domain}: ${problem}`);
    const { types: ours } = this.options;
    const type = ours.find((one) => types.includes(one));
    if (type !== undefined) return type;
    const offered = types.length === 0 ? 'none of them' : types.join(' and ');
    throw new AcmeError(`${domain}: the CA offers ${offered}: expected ${ours.join(' or ')}`);
  }

  private async awaitAll(order: Order): Promise<void> {
    for (let waitMs = POLL_MS.min; ; waitMs *= 2) {
      const offers = await this.ca.offers(order);
      const failed = offers.filter(({ problem }) => problem !== '');
      if (failed.length > 0) {
        throw new AcmeError(
          failed.map(({ domain, problem }) => `${domain}: ${problem}`).join('; '),
        );
      }
      const open = offers.filter(({ isValid }) => !isValid);
      if (open.length === 0) return;
      const names = open.map(({ domain }) => domain).join(', ');
      await this.wait(waitMs, `${names}: the CA has not decided yet`);
    }
  }

  // Time

  /** Before the same is asked again; throws where the order takes too long. */
  private async wait(ownMs: number, what: string): Promise<void> {
    const asked = Math.min(this.ca.retryAfterMs, POLL_ASKED_MS_MAX);
    const waitMs = asked > 0 ? asked : Math.min(ownMs, POLL_MS.max);
    if (this.options.clock.nowMs() + waitMs > this.endMs) {
      const minutes = BOUNDS.acmeOrder.max / 60_000;
      throw new AcmeError(`${what} after ${minutes} minutes`, { isUnreached: true });
    }
    await this.pause(waitMs);
  }

  private pause(waitMs: number): Promise<void> {
    const { clock, signal } = this.options;
    return new Promise((resolve, reject) => {
      const give = (): void => {
        timer.cancel();
        reject(new AcmeError('given up', { isUnreached: true }));
      };
      const timer = clock.setTimer(waitMs, () => {
        signal.removeEventListener('abort', give);
        resolve();
      });
      if (signal.aborted) give();
      else signal.addEventListener('abort', give, { once: true });
    });
  }
}

/** Chain and key as they are kept, where they are what was ordered. */
function check({ domains }: AcmeSettings, chain: string, key: string, nowMs: number): string {
  const text = `${chain.trimEnd()}\n${key.trimEnd()}\n`;
  if (Buffer.byteLength(text) > BOUNDS.certificateFile.max) {
    throw new AcmeError('the CA has sent a chain that is too large');
  }
  const pair = readCertificate(chain, key);
  const missing = domains.filter((name) => !pair.certificate.names.includes(name));
  if (missing.length > 0) {
    throw new AcmeError(`the CA has issued a certificate without ${missing.join(', ')}`);
  }
  const late = untimely(pair, nowMs);
  if (late !== '') throw new AcmeError(`the CA has issued what is of no use now: ${late}`);
  return text;
}

function readCertificate(chain: string, key: string) {
  try {
    return readPair(chain, key);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new AcmeError(`the CA has sent what is no certificate of ours: ${why}`);
  }
}
