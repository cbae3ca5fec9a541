// A check that speaks a protocol: one connection, bounded in time and in bytes. The protocol is a
// function that sends and reads; it returns, or throws CheckFailure.
// The outcome is told as soon as it is known. Then the connection closes in order: our end, what the
// endpoint still sends is dropped, and after the check's time it is cut. A server that finds a reset in
// the place of an end writes a line into its log for each check.
import type { Socket } from 'node:net';
import { formatDuration } from '../base/duration.ts';
import { hideOwn } from '../base/own-secrets.ts';
import { BOUNDS } from '../model/bounds.ts';
import type { HealthCheck } from '../model/service.ts';
import { mayShowPassword } from './clear-text.ts';
import { CheckFailure, type CheckOutcome, type CheckTarget, failed } from './outcome.ts';
import { openEvent, openOwn } from './own-connection.ts';

const BYTES_MAX = BOUNDS.checkAnswer.max;
const NOTHING = Buffer.alloc(0);
const CLOSED = 'connection closed before the answer was complete';
/** Characters of an answer that are told. */
const SHOWN_MAX = 80;

/** Speaks a protocol over an open connection. */
export type Speak = (conversation: Conversation, check: HealthCheck) => Promise<CheckOutcome>;

/** The two sides of an open connection, as a protocol sees them. */
export class Conversation {
  /** What the endpoint has sent, and the protocol has not read. */
  private unread: Buffer = NOTHING;
  private received = 0;
  /** Why no more comes. */
  private over: Error | null = null;
  private wake: (() => void) | null = null;
  /** What the endpoint may give back of ours, and nobody else is shown. */
  private readonly secrets: string[] = [];
  private readonly socket: Socket;
  /** Whether an endpoint that asks for the password in clear text gets it. */
  readonly mayShowPassword: boolean;

  constructor(socket: Socket, mayShow: boolean) {
    this.socket = socket;
    this.mayShowPassword = mayShow;
    socket.on('data', (bytes: Buffer) => this.take(bytes));
    socket.on('end', () => this.finish(new CheckFailure(CLOSED)));
    socket.on('error', (error) => this.finish(error));
    socket.on('close', () => this.finish(new CheckFailure(CLOSED)));
  }

  /** Something is sent that no text about the endpoint may show. */
  keepSecret(secret: string): void {
    this.secrets.push(secret);
  }

  /** The outcome without what the endpoint gave back of our secrets: servers quote what they refuse. */
  withoutSecrets(outcome: CheckOutcome): CheckOutcome {
    return { ...outcome, text: hideOwn(outcome.text, this.secrets) };
  }

  /** Does not wait: what does not arrive shows in what is read. */
  send(bytes: Buffer | string): void {
    this.socket.write(bytes);
  }

  /** The next line (latin1), without its end. Rejects with CheckFailure or the error of the socket, as `bytes`. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.unread.indexOf(10);
      if (end >= 0)
        return this.cut(end + 1)
          .toString('latin1')
          .replace(/\r?\n$/, '');
      await this.more();
    }
  }

  /** The next `count` bytes. Rejects where the endpoint closes before, or sends too much. */
  async bytes(count: number): Promise<Buffer> {
    if (count > BYTES_MAX) throw tooMuch();
    while (this.unread.length < count) await this.more();
    return this.cut(count);
  }

  /** Whatever has come, a byte at least; null when no more comes. Rejects where the answer is too long. */
  async piece(): Promise<Buffer | null> {
    while (this.unread.length === 0) {
      // What was cut has no end.
      if (this.over !== null && this.received <= BYTES_MAX) return null;
      await this.more();
    }
    return this.cut(this.unread.length);
  }

  private cut(count: number): Buffer {
    const bytes = this.unread.subarray(0, count);
    this.unread = this.unread.subarray(count);
    return bytes;
  }

  private async more(): Promise<void> {
    if (this.over !== null) throw this.over;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
    });
  }

  /** The bytes within the bound count, however many of them one read has brought. */
  private take(bytes: Buffer): void {
    if (this.over !== null) return;
    const taken = bytes.subarray(0, BYTES_MAX - this.received);
    this.received += bytes.length;
    this.unread = this.unread.length === 0 ? taken : Buffer.concat([this.unread, taken]);
    if (this.received > BYTES_MAX) this.finish(tooMuch());
    this.wakeUp();
  }

  private finish(why: Error): void {
    this.over ??= why;
    this.wakeUp();
  }

  private wakeUp(): void {
    this.wake?.();
    this.wake = null;
  }
}

function tooMuch(): CheckFailure {
  return new CheckFailure(`answered more than ${BYTES_MAX} bytes`);
}

/** The beginning of some bytes in quotes. */
export function showBytes(bytes: Buffer): string {
  const text = bytes.toString('latin1', 0, SHOWN_MAX);
  return `${JSON.stringify(text)}${bytes.length > SHOWN_MAX ? '...' : ''}`;
}

/** Connects to the target and lets `speak` find out how it is. */
export async function converse(
  speak: Speak,
  check: HealthCheck,
  target: CheckTarget,
  signal: AbortSignal,
): Promise<CheckOutcome> {
  const within = `within ${formatDuration(check.timeoutMs)}`;
  const socket = openOwn(check, target);
  signal.addEventListener('abort', () => socket.destroy(new Error('given up')), {
    once: true,
  });
  return new Promise((resolve) => {
    let isConnected = false;
    const conversation = new Conversation(socket, mayShowPassword(check, target));
    // What an endpoint gives back may be from the check before.
    conversation.keepSecret(check.login.password);
    const timer = setTimeout(() => {
      resolve({ isGood: false, text: `no ${isConnected ? 'answer' : 'connection'} ${within}` });
      socket.destroy();
    }, check.timeoutMs);
    socket.on('error', (error) => resolve(failed(error)));
    socket.on('close', () => clearTimeout(timer));
    socket.on(openEvent(check), () => {
      isConnected = true;
      speak(conversation, check)
        .catch((error: unknown) => failed(error))
        .then((outcome) => {
          resolve(conversation.withoutSecrets(outcome));
          socket.end();
        });
    });
  });
}
