// One URL that is asked for target groups: at its interval, with what is known of the last answer, so
// that one that is the same costs nothing. What an answer lacks is doubted where the server failed
// before it, or where it lists nothing at all: the next answer settles it.
import { type BodyLimit, readStart } from '../../base/body.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { CodedError, codeOf, messageOf } from '../../base/coded-error.ts';
import type { Random } from '../../base/prng.ts';
import { Turns } from '../../base/turns.ts';
import { BOUNDS, excessOf } from '../../model/bounds.ts';
import type { HttpSettings } from '../../model/registries/http.ts';
import type { PoolResponse } from '../../reach/http-pools.ts';
import type { Contact } from '../contact.ts';
import { readGroups } from '../group-list.ts';
import { type Targets, targetSteps } from '../target-groups.ts';
import type { HttpTransport } from './provider.ts';

const DEADLINE_MS = 10_000;
/** Intervals are shortened or lengthened by up to this share, so that many pollers don't keep step. */
const JITTER = 0.1;
/** Refusals, after which asking more often changes nothing. */
const REFUSALS = new Set([401, 403, 404, 410]);

const ANSWER: BodyLimit = {
  max: BOUNDS.targetAnswer.max,
  excess: () => new CodedError('too-large', excessOf(BOUNDS.targetAnswer)),
};

export interface UrlPollOptions {
  readonly url: string;
  /** The URL as it is shown, without what is secret; no other poll has the same. */
  readonly shown: string;
  readonly settings: HttpSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly transport: HttpTransport;
  readonly contact: Contact;
  /** Throws where its file can't be read. */
  readonly token: () => string | Promise<string>;
  /** The answer is another one, or is not in doubt any more. */
  readonly onTargets: (targets: Targets & { readonly doubt: string }) => void;
}

export class UrlPoll {
  private readonly options: UrlPollOptions;
  private readonly origin: string;
  private readonly path: string;
  private timer: Timer | null = null;
  private aborter: AbortController | null = null;
  private validators: Readonly<Record<string, string>> = {};
  private targets: Targets | null = null;
  private hasFailed = false;
  private doubt = '';
  private isStopped = false;

  constructor(options: UrlPollOptions) {
    this.options = options;
    const { origin, pathname, search } = new URL(options.url);
    this.origin = origin;
    this.path = pathname + search;
  }

  start(): void {
    void this.poll();
  }

  stop(): void {
    this.isStopped = true;
    this.timer?.cancel();
    this.aborter?.abort();
  }

  private async poll(): Promise<void> {
    const { contact, shown, clock, random, settings } = this.options;
    try {
      await this.ask();
      if (this.isStopped) return;
      contact.answered(shown, this.origin);
      this.hasFailed = false;
    } catch (error) {
      if (this.isStopped) return;
      this.hasFailed = true;
      contact.failed(shown, failureOf(error), this.origin);
    }
    const waitMs = settings.intervalMs * (1 + JITTER * (2 * random() - 1));
    this.timer = clock.setTimer(waitMs, () => void this.poll());
  }

  private async ask(): Promise<void> {
    const { clock, transport, settings } = this.options;
    const aborter = new AbortController();
    this.aborter = aborter;
    const deadlineMs = Math.min(DEADLINE_MS, Math.max(1000, settings.intervalMs));
    const deadline = clock.setTimer(deadlineMs, () => {
      aborter.abort(new CodedError('timeout', `no whole answer within ${deadlineMs} ms`));
    });
    try {
      const { path, origin } = this;
      const headers = { ...(await this.headers()), ...this.validators };
      const response = await (await transport.to(origin)).get({
        path,
        headers,
        signal: aborter.signal,
      });
      await this.take(response);
    } finally {
      deadline.cancel();
      this.aborter = null;
    }
  }

  private async headers(): Promise<Record<string, string>> {
    const { settings, token } = this.options;
    const secret = await token();
    return {
      accept: 'application/json',
      'user-agent': 'upriver',
      'x-prometheus-refresh-interval-seconds': String(settings.intervalMs / 1000),
      ...(secret === '' ? {} : { authorization: `Bearer ${secret}` }),
    };
  }

  private async take({ status, headers, body }: PoolResponse): Promise<void> {
    // What is refused is read as well, so that the connection can be used again.
    const { clock } = this.options;
    const groups = status === 200 ? await readGroups(body, ANSWER, clock) : null;
    if (status !== 200) await readStart(body, BOUNDS.targetError.max);
    if (this.isStopped) return;
    if (status === 304 && this.targets !== null) return this.settle(this.targets, false);
    if (status !== 200) throw new CodedError(`http-${status}`, `answered ${status}`);
    const { service, tagPrefix } = this.options.settings;
    const turns = new Turns(clock);
    const targets = await turns.run(targetSteps(groups, { service, tagPrefix }));
    if (this.isStopped) return;
    if (targets === null) {
      throw new CodedError('not-a-list', 'expected a list of maps with targets and labels');
    }
    this.validators = validatorsOf(headers);
    this.settle(targets, true);
  }

  /** The server's word; `isNew`: it sent it whole. */
  private settle(targets: Targets, isNew: boolean): void {
    const was = this.targets;
    const isBare = (one: Targets | null) => one === null || count(one) === 0;
    const hasEmptied = isBare(targets) && !isBare(was);
    const before = this.doubt;
    this.doubt = '';
    if (this.hasFailed && was !== null) this.doubt = 'first answer after a failure';
    else if (hasEmptied) this.doubt = 'the list is empty';
    this.targets = targets;
    if (isNew || before !== this.doubt) this.options.onTargets({ ...targets, doubt: this.doubt });
  }
}

function count({ list }: Targets): number {
  return [...list.values()].reduce((sum, { instances }) => sum + instances.length, 0);
}

function validatorsOf({ etag, ...headers }: PoolResponse['headers']): Record<string, string> {
  const modified = headers['last-modified'];
  return {
    ...(typeof etag === 'string' ? { 'if-none-match': etag } : {}),
    ...(typeof modified === 'string' ? { 'if-modified-since': modified } : {}),
  };
}

function failureOf(error: unknown) {
  const code = codeOf(error) ?? 'failed';
  const isRefusal = REFUSALS.has(Number(code.replace('http-', '')));
  return { code, message: messageOf(error), isRefusal };
}
