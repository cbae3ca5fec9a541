// The client that has done nothing wrong: requests at a constant rate, timed from when they were due.
import { Agent, request } from 'node:http';
import { request as requestSecure, Agent as SecureAgent } from 'node:https';

const PER_SECOND = 100;
const TIMEOUT_MS = 5000;

export interface Suffered {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly requests: number;
  /** Answers other than 2xx, and none. */
  readonly failures: number;
}

export interface VictimOptions {
  readonly url: string;
  readonly isFresh: boolean;
}

/** Asks for `seconds`; resolves when every request has been answered, or has failed. */
export async function suffer({ url, isFresh }: VictimOptions, seconds: number): Promise<Suffered> {
  const agent = agentFor(url, { keepAlive: !isFresh, maxSockets: 256 });
  const count = Math.round(PER_SECOND * seconds);
  const startMs = performance.now();
  const timesMs: number[] = [];
  let failures = 0;
  const asked: Promise<void>[] = [];
  for (let i = 0; i < count; i += 1) {
    const dueMs = startMs + (i * 1000) / PER_SECOND;
    const waitMs = dueMs - performance.now();
    if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
    asked.push(
      ask(url, agent).then((isGood) => {
        timesMs.push(performance.now() - dueMs);
        if (!isGood) failures += 1;
      }),
    );
  }
  await Promise.all(asked);
  agent.destroy();
  timesMs.sort((a, b) => a - b);
  const at = (share: number): number => timesMs[Math.floor((timesMs.length - 1) * share)] ?? 0;
  return { p50Ms: at(0.5), p99Ms: at(0.99), requests: count, failures };
}

/** Another address than the attacker's: what is bounded by address must not meet it. */
const ADDRESS = '127.0.0.2';

/** Whether it is answered by 2xx, over a connection of its own; all of the answer is read. */
export async function answers(url: string): Promise<boolean> {
  const agent = agentFor(url, { keepAlive: false });
  const isGood = await ask(url, agent);
  agent.destroy();
  return isGood;
}

function agentFor(url: string, options: { keepAlive: boolean; maxSockets?: number }): Agent {
  if (!url.startsWith('https:')) return new Agent(options);
  // Our own, on loopback: the handshake counts, and not the name.
  return new SecureAgent({ ...options, rejectUnauthorized: false, maxCachedSessions: 0 });
}

function ask(url: string, agent: Agent): Promise<boolean> {
  return new Promise((resolve) => {
    const send = url.startsWith('https:') ? requestSecure : request;
    const sent = send(url, { agent, localAddress: ADDRESS, timeout: TIMEOUT_MS }, (response) => {
      const status = response.statusCode ?? 0;
      response.on('error', () => resolve(false));
      response.on('end', () => resolve(status >= 200 && status < 300));
      response.resume();
    });
    sent.on('timeout', () => sent.destroy());
    sent.on('error', () => resolve(false));
    sent.end();
  });
}
