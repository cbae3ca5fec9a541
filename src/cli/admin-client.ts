// Asks a running instance over its stats port. By node:http and not by fetch: it reaches unix sockets
// too, and a health check every few seconds should cost little.
import { type IncomingMessage, request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import type { Duplex } from 'node:stream';
import { messageOf } from '../base/coded-error.ts';
import { safeData, safeJson, safeLine } from '../base/safe-text.ts';
import type { ParsedArguments } from './command.ts';
import { type Instance, instanceOf } from './stats-address.ts';

const TIMEOUT_MS = 5000;
/** Of an answer: several times that about as many endpoints as there may be. */
const LENGTH_MAX = 2 ** 28;

/** An answer, or why there is none, in words. */
export type Asked<T> = { readonly body: T } | { readonly problem: string };

export interface Question {
  readonly path: string;
  readonly method?: 'GET' | 'POST';
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly timeoutMs?: number;
  /** The texts of the answer as they are: to be named in another question, or printed by `printJson`. */
  readonly isRaw?: boolean;
}

export interface Reply {
  readonly status: number;
  readonly text: string;
}

/**
 * Asks `path`; T is the shape that docs/reference/admin-api.md gives it. All texts of the answer are
 * made safe for a terminal here, unless the question is for them as they are: what registries and
 * endpoints say is in it.
 */
export async function ask<T>(
  given: ParsedArguments,
  question: Question | string,
): Promise<Asked<T>> {
  const asked = typeof question === 'string' ? { path: question } : question;
  const instance = await instanceOf(given.flags);
  if ('problem' in instance) return instance;
  try {
    const { status, text } = await send(instance, asked);
    if (status >= 300) return { problem: errorIn(text) || `${asked.path} answered ${status}` };
    return { body: (asked.isRaw === true ? JSON.parse(text) : safeData(text)) as T };
  } catch (error) {
    return { problem: safeLine(`no answer from ${instance.name}: ${messageOf(error)}`) };
  }
}

/** Sends the question; rejects where there is no answer in time. */
export function send(instance: Instance, question: Question): Promise<Reply> {
  const { path, method = 'GET', body, timeoutMs = TIMEOUT_MS } = question;
  const { promise, resolve, reject } = Promise.withResolvers<Reply>();
  const text = body === undefined ? '' : JSON.stringify(body);
  const secret = instance.token || (method === 'GET' ? instance.readToken : '');
  const options = {
    ...instance.place,
    path,
    method,
    agent: false as const,
    signal: AbortSignal.timeout(timeoutMs),
    headers: {
      'content-length': Buffer.byteLength(text),
      ...(secret === '' ? {} : { authorization: `Bearer ${secret}` }),
    },
  };
  const rejectUnauthorized = instance.tls === 'verified';
  const asked =
    instance.tls === 'off' ? plainRequest(options) : tlsRequest({ ...options, rejectUnauthorized });
  const fail = (error: Error): void =>
    reject(error.name === 'AbortError' ? new Error(`none within ${timeoutMs} ms`) : error);
  asked.on('error', fail);
  asked.once('upgrade', (_, socket: Duplex) => {
    socket.destroy();
    reject(new Error('it changes to another protocol'));
  });
  asked.once('response', (response: IncomingMessage) => {
    let answer = '';
    response.setEncoding('utf8');
    response.on('data', (part: string) => {
      answer += part;
      if (answer.length <= LENGTH_MAX) return;
      reject(new Error('an answer of more than 256 MiB'));
      asked.destroy();
    });
    response.on('error', fail);
    response.once('end', () => resolve({ status: response.statusCode ?? 0, text: answer }));
  });
  asked.end(text);
  return promise;
}

function errorIn(text: string): string {
  try {
    // The API's errors: {"error": "..."}.
    const { error } = safeData(text) as { error?: unknown };
    return typeof error === 'string' ? error : '';
  } catch {
    return '';
  }
}

/**
 * Does `work`, which reads answers as docs/reference/admin-api.md has them, and returns its exit code. An answer
 * of another shape, of another program at that address, ends it with one line.
 */
export async function readingAnswers(work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    console.error(safeLine(`upriver: the answer is not one of Upriver's: ${error.message}`));
    return 1;
  }
}

/** For programs: the data as it is, with whatever could act in a terminal escaped as JSON does it. */
export function printJson(data: unknown, indent = 2): void {
  console.log(safeJson(JSON.stringify(data, null, indent)));
}

/** Rows as aligned columns; the first row is the head. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
