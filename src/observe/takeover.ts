// The other side of succession.ts: a process whose stats address is held by an older one waits for it
// there, and opens the port when it is free, for whatever reason it is. One process serves the port at
// a time, so that an operator's command reaches the process that it is meant for.
import {
  type ClientRequest,
  type IncomingMessage,
  request as plainRequest,
  type RequestOptions,
} from 'node:http';
import { request as tlsRequest } from 'node:https';
import type { Clock } from '../base/clock.ts';
import { codeOf, messageOf } from '../base/coded-error.ts';
import type { Logger } from '../base/log.ts';
import type { ListenAddress } from '../model/listener.ts';
import type { StatsSettings } from '../model/settings.ts';
import type { StatsServer } from './server.ts';
import type { Sibling } from './succession.ts';

/** For the holder to say who it is: on a machine that is busy with the upgrade it may take a while. */
const ANSWER_MS = 10_000;
/** Between attempts, where the holder does not know how to hand its port over. */
const RETRY_MS = 200;
const ANSWER_BYTES_MAX = 1024 * 1024;

export interface Holder {
  readonly pid: number;
  readonly version: string;
  readonly isDraining: boolean;
  /** It is asked over TLS. */
  readonly isTls: boolean;
}

/** What opens the other process's port to this one: it is configured as this one is. */
type Secrets = Pick<StatsSettings, 'adminToken' | 'readToken' | 'tls'>;

/** The Upriver that answers on the address; null where what answers is none. */
export async function holderOf(listen: ListenAddress, secrets: Secrets): Promise<Holder | null> {
  // An upgrade may be what turns TLS on, or off.
  const isTls = secrets.tls !== null;
  return (await holderBy(listen, secrets, isTls)) ?? holderBy(listen, secrets, !isTls);
}

async function holderBy(
  listen: ListenAddress,
  secrets: Secrets,
  isTls: boolean,
): Promise<Holder | null> {
  try {
    // What answers may be anything: each part is looked at.
    const status = JSON.parse(
      await ask({ listen, isTls }, secrets.adminToken || secrets.readToken),
    ) as {
      readonly pid?: unknown;
      readonly version?: unknown;
      readonly ready?: { readonly ready?: unknown; readonly reason?: unknown };
    };
    const { pid, version, ready } = status;
    if (typeof pid !== 'number' || typeof version !== 'string') return null;
    const isDraining = ready?.ready === false && ready.reason === 'draining';
    return { pid, version, isDraining, isTls };
  } catch {
    return null;
  }
}

interface Place {
  readonly listen: ListenAddress;
  readonly isTls: boolean;
}

/** Whose certificate it is does not matter: only this machine can listen at an address of its own. */
function requestTo({ listen, isTls }: Place, options: RequestOptions): ClientRequest {
  const all = { ...placeOf(listen), ...options, agent: false as const };
  return isTls ? tlsRequest({ ...all, rejectUnauthorized: false }) : plainRequest(all);
}

function ask(place: Place, token: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = authorization(token);
    const signal = AbortSignal.timeout(ANSWER_MS);
    const asked = requestTo(place, { path: '/api/v1/status', headers, signal });
    asked.once('error', reject);
    asked.once('response', (response: IncomingMessage) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
        if (text.length > ANSWER_BYTES_MAX) asked.destroy();
      });
      response.once('error', reject);
      response.once('end', () => resolve(text));
    });
    asked.end();
  });
}

/** Where a process on this machine reaches who listens there. */
function placeOf(listen: ListenAddress): { socketPath: string } | { host: string; port: number } {
  if (listen.kind === 'unix') return { socketPath: listen.path };
  const { host, port } = listen;
  return { host: host === '' || host === '::' ? '127.0.0.1' : host, port };
}

function authorization(token: string): { authorization?: string } {
  return token === '' ? {} : { authorization: `Bearer ${token}` };
}

export interface TakeoverOptions {
  readonly listen: ListenAddress;
  readonly settings: Secrets;
  readonly version: string;
  readonly holder: Holder;
  readonly clock: Clock;
  readonly log: Logger;
  /** Opens the stats port; rejects with EADDRINUSE while somebody has it. */
  readonly open: (takenFrom: Sibling) => Promise<StatsServer>;
}

/** Waits for the port from the first moment on; `ready` tells the holder more. */
export class Takeover {
  private readonly options: TakeoverOptions;
  private readonly done: Promise<StatsServer | null>;
  private waiting: ClientRequest | null = null;
  private isReady = false;
  private isStopped = false;

  constructor(options: TakeoverOptions) {
    this.options = options;
    this.done = this.run();
  }

  /** This process serves: the holder may be told to drain. */
  ready(): void {
    this.isReady = true;
    this.waiting?.destroy();
  }

  /** The server, when the port has been taken over; null where it was stopped before. */
  get server(): Promise<StatsServer | null> {
    return this.done;
  }

  stop(): void {
    this.isStopped = true;
    this.waiting?.destroy();
  }

  private async run(): Promise<StatsServer | null> {
    const { clock, holder, log, open } = this.options;
    for (;;) {
      const wasReady = this.isReady;
      await this.released();
      if (this.isStopped) return null;
      try {
        const { pid, version } = holder;
        const server = await open({ pid, version, at: clock.wallMs() });
        log.info({ stats: server.address, from: pid }, 'stats port taken over');
        return server;
      } catch (error) {
        if (codeOf(error) !== 'EADDRINUSE') {
          log.warn({ err: messageOf(error) }, 'the stats port cannot be opened; retrying');
        }
      }
      if (wasReady === this.isReady) {
        await new Promise<void>((resolve) => clock.setTimer(RETRY_MS, resolve));
      }
    }
  }

  /** Resolves when the holder says that the port is free, is gone, or can't be asked. */
  private released(): Promise<void> {
    const { settings, listen, version, holder } = this.options;
    return new Promise((resolve) => {
      if (this.isStopped) return resolve();
      const waiting = requestTo(
        { listen, isTls: holder.isTls },
        {
          path: '/api/v1/takeover',
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            ...authorization(settings.adminToken),
          },
        },
      );
      this.waiting = waiting;
      const end = (): void => {
        this.waiting = null;
        resolve();
      };
      waiting.once('response', (response) => response.resume());
      waiting.on('error', () => {});
      waiting.once('close', end);
      waiting.end(JSON.stringify({ pid: process.pid, version, ready: this.isReady }));
    });
  }
}
