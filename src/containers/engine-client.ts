// Asks a container engine: what runs, what a container is, and what happens to it. Speaks the API of
// Docker, in the version that the engine itself offers; Podman answers the same questions.

import { type BodyLimit, linesOf, readStart, readWhole } from '../base/body.ts';
import type { Clock } from '../base/clock.ts';
import { CodedError, codeOf, messageOf } from '../base/coded-error.ts';
import { listOf, textOf } from '../base/foreign.ts';
import { parseBounded, readJsonItems } from '../base/json-body.ts';
import { encodeSegment } from '../base/path-text.ts';
import { BOUNDS, type Bound, excessOf } from '../model/bounds.ts';
import { type EngineAddress, parseEngineAddress } from '../model/engine-address.ts';
import type { TlsSettings } from '../model/registries/tls.ts';
import { type Container, containerOf, type ListedContainer, listedOf } from './container.ts';
import { type EngineEvent, eventOf } from './event.ts';
import type { EngineResponse, EngineTransport, HasSocket, OpenEngine } from './transport.ts';

const DEADLINE_MS = 10_000;
/** The newest version of the API that is known to answer as read here. */
const API_MAX = [1, 52] as const;
/** The engine's clock is read in whole seconds, and before the events are asked for. */
const SINCE_SLACK_S = 1;
const ERROR_BYTES = 1024;
/** Values of an inspection; one with everything has some thousand. */
const VALUES_MAX = 200_000;

/** The engine can't be asked, or answers something else than was asked. */
export class EngineError extends CodedError {
  /** Of its answer; 0 where there was none. */
  readonly status: number;

  constructor(code: string, message: string, status = 0) {
    super(code, message);
    this.status = status;
  }
}

export interface EngineClientOptions {
  /** In the order in which they are tried: the first whose socket is there is used. */
  readonly addresses: readonly EngineAddress[];
  readonly tls: TlsSettings;
  readonly clock: Clock;
  readonly open: OpenEngine;
  readonly hasSocket: HasSocket;
}

export interface Inspected {
  readonly container: Container;
  /** The engine's answer as it is. */
  readonly json: unknown;
}

export class EngineClient {
  private readonly options: EngineClientOptions;
  private transport: EngineTransport | null = null;
  private base = '';
  private isClosed = false;
  private current: EngineAddress;

  constructor(options: EngineClientOptions) {
    this.options = options;
    this.current = options.addresses[0] ?? parseEngineAddress('/var/run/docker.sock');
  }

  get address(): EngineAddress {
    return this.current;
  }

  /**
   * Asks the engine for its version and its time; to be called before anything else, and again after
   * each failure. Returns a time, in s since the epoch, before which nothing has to be told.
   */
  async begin(signal: AbortSignal): Promise<number> {
    await this.reopen();
    const { headers } = await this.ask('/_ping', BOUNDS.containerInspection, signal);
    this.base = versionOf(headers['api-version']);
    const date = Date.parse(textOf(headers.date));
    const ms = Number.isNaN(date) ? this.options.clock.wallMs() : date;
    return Math.floor(ms / 1000) - SINCE_SLACK_S;
  }

  /** The containers that run or are paused. */
  async list(signal: AbortSignal): Promise<ListedContainer[]> {
    const path = `${this.base}/containers/json`;
    const read = await this.exchange(path, signal, ({ body }) =>
      readJsonItems(body, {
        limit: limitOf(BOUNDS.containerList),
        clock: this.options.clock,
        items: BOUNDS.containers.max,
        itemBytes: BOUNDS.containerInspection.max,
        // Little of it is of use, and there may be thousands.
        shape: (one) => listedOf([one]),
      }).catch((error: unknown) => {
        if (codeOf(error) === 'too-many') throw tooMuch(BOUNDS.containers);
        if (codeOf(error) === 'too-long') throw tooMuch(BOUNDS.containerInspection);
        throw error;
      }),
    );
    return listOf(read).flat() as ListedContainer[];
  }

  /** Null where there is no such container any more. Rejects with EngineError. */
  async inspect(id: string, signal: AbortSignal): Promise<Inspected | null> {
    const path = `${this.base}/containers/${id}/json`;
    try {
      const json = await this.json(path, BOUNDS.containerInspection, signal);
      const container = containerOf(json);
      if (container === null) throw new EngineError('not-a-container', `${path}: no container`);
      return { container, json };
    } catch (error) {
      if (error instanceof EngineError && isGone(error)) return null;
      throw error;
    }
  }

  /** `bridge`, `overlay`, ...; '' where the engine refuses to say. Rejects with EngineError where it does not answer. */
  async networkDriver(id: string, signal: AbortSignal): Promise<string> {
    const path = `${this.base}/networks/${encodeSegment(id)}`;
    try {
      const json = await this.json(path, BOUNDS.containerInspection, signal);
      const { Driver } = json as { Driver?: unknown };
      return textOf(Driver);
    } catch (error) {
      if (error instanceof EngineError && error.status !== 0) return '';
      throw error;
    }
  }

  /**
   * What happens to containers from `since` (s since the epoch) on. Ends only by an error: also when
   * the engine ends the stream.
   */
  async *events(since: number, signal: AbortSignal): AsyncGenerator<EngineEvent> {
    // The names of actions are matched here: Docker and Podman filter by different ones.
    const filters = encodeSegment('{"type":["container","network"]}');
    const path = `${this.base}/events?since=${since}&filters=${filters}`;
    const { body } = await this.get(path, signal);
    const limit = { ...limitOf(BOUNDS.containerEvent), clock: this.options.clock };
    try {
      for await (const line of linesOf(body, limit)) {
        const event = eventOf(line);
        if (event !== null) yield event;
      }
    } catch (error) {
      throw error instanceof EngineError ? error : failure(error, 'the stream of events');
    }
    throw new EngineError('ended', 'the engine ended the stream of events');
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await this.closeTransport();
  }

  private async closeTransport(): Promise<void> {
    const { transport } = this;
    this.transport = null;
    await transport?.close();
  }

  private async reopen(): Promise<void> {
    const { addresses, hasSocket, open, tls } = this.options;
    await this.closeTransport();
    for (const address of addresses) {
      if (address.socketPath !== '' && !(await hasSocket(address.socketPath))) continue;
      this.current = address;
      break;
    }
    this.base = '';
    const transport = await open(this.current, tls);
    // It may have been closed meanwhile.
    if (this.isClosed) await transport.close();
    else this.transport = transport;
  }

  private async json(path: string, bound: Bound, signal: AbortSignal): Promise<unknown> {
    const { bytes } = await this.ask(path, bound, signal);
    try {
      return parseBounded(bytes, VALUES_MAX);
    } catch (error) {
      throw new EngineError(codeOf(error), `${path}: ${messageOf(error)}`, 200);
    }
  }

  private ask(path: string, bound: Bound, signal: AbortSignal) {
    return this.exchange(path, signal, async ({ headers, body }) => {
      return { headers, bytes: await readWhole(body, limitOf(bound)) };
    });
  }

  /** An answer, read within the time that there is for it. */
  private async exchange<T>(
    path: string,
    signal: AbortSignal,
    read: (response: EngineResponse) => Promise<T>,
  ): Promise<T> {
    const { clock } = this.options;
    const aborter = new AbortController();
    const abort = (): void => aborter.abort();
    let isLate = false;
    const deadline = clock.setTimer(DEADLINE_MS, () => {
      isLate = true;
      aborter.abort();
    });
    signal.addEventListener('abort', abort, { once: true });
    try {
      signal.throwIfAborted();
      return await read(await this.get(path, aborter.signal));
    } catch (error) {
      if (isLate) throw new EngineError('timeout', `${path}: no answer within ${DEADLINE_MS} ms`);
      throw error instanceof EngineError ? error : failure(error, path);
    } finally {
      deadline.cancel();
      signal.removeEventListener('abort', abort);
    }
  }

  /** The answer, where its status is 200. */
  private async get(path: string, signal: AbortSignal): Promise<EngineResponse> {
    if (this.transport === null) throw new EngineError('closed', 'the connection is closed');
    const response = await this.transport.get({ path, signal }).catch((error: unknown) => {
      throw failure(error, path);
    });
    if (response.status === 200) return response;
    const text = await readStart(response.body, ERROR_BYTES);
    const message = /"message"\s*:\s*"([^"]*)"/.exec(text)?.[1] ?? text.split('\n')[0] ?? '';
    const { status } = response;
    throw new EngineError(`status-${status}`, `${path}: answered ${status}: ${message}`, status);
  }
}

/** Podman answers 500 for a container that is being removed. */
function isGone({ status, message }: EngineError): boolean {
  return status === 404 || (status === 500 && /no such container/i.test(message));
}

/** `/v1.41`, the newest version that both know; '' where the engine names none. */
function versionOf(header: unknown): string {
  const [, major = '', minor = ''] = /^(\d+)\.(\d+)$/.exec(textOf(header)) ?? [];
  if (major === '') return '';
  const isNewer = Number(major) > API_MAX[0] || Number(minor) > API_MAX[1];
  return isNewer ? `/v${API_MAX.join('.')}` : `/v${major}.${minor}`;
}

function limitOf(bound: Bound): BodyLimit {
  return { max: bound.max, excess: () => tooMuch(bound) };
}

function tooMuch(bound: Bound): EngineError {
  return new EngineError('too-large', excessOf(bound), 200);
}

function failure(error: unknown, what: string): EngineError {
  const code = codeOf(error) || 'failed';
  const hint = code === 'EACCES' ? ' (may this user read and write the socket?)' : '';
  const why =
    error instanceof AggregateError ? error.errors.map(messageOf).join('; ') : messageOf(error);
  return new EngineError(code, `${what}: ${why || code}${hint}`);
}
