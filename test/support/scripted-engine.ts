// A container engine of which every answer is written by the test: for what no real engine can be
// made to do at a given moment, and for Podman's ways. It listens on a unix socket.

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ContainerSpec, inspection } from './containers.ts';

export interface ScriptedEngine {
  readonly socket: string;
  /** Paths that were asked for, in order. */
  readonly asked: readonly string[];
  /** By id. What is not running is not listed, and can be inspected. */
  readonly containers: Map<string, ContainerSpec>;
  /** Open streams of events. */
  readonly subscribers: number;
  /** Sends an event to every subscriber. */
  tell(event: object | string): void;
  /** Answers these paths so instead; null hangs. Answered as before where it returns undefined. */
  override: (path: string) => { status: number; body: unknown } | null | undefined;
  /** Ends every stream of events, as an engine that ends does. */
  cut(): void;
  /** Nothing is answered any more; `begin` listens again on the same socket. */
  end(): Promise<void>;
  begin(): Promise<void>;
  stop(): Promise<void>;
}

export interface ScriptedEngineOptions {
  /** '' sends no version. */
  readonly apiVersion?: string;
  /** As Podman: the head of the stream of events comes with the first event. */
  readonly isPodman?: boolean;
}

export async function startScriptedEngine(
  options: ScriptedEngineOptions = {},
): Promise<ScriptedEngine> {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-engine-'));
  const socket = join(folder, 'docker.sock');
  const containers = new Map<string, ContainerSpec>();
  const streams = new Set<ServerResponse>();
  const asked: string[] = [];
  const { apiVersion = '1.41', isPodman = false } = options;
  let server: Server;

  const json = (response: ServerResponse, status: number, body: unknown): void => {
    response.writeHead(status, {
      'content-type': 'application/json',
      ...(apiVersion === '' ? {} : { 'api-version': apiVersion }),
    });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  };
  const listed = () =>
    [...containers].flatMap(([id, { status = 'running', health }]) => {
      if (!['running', 'paused', 'restarting'].includes(status)) return [];
      return [{ Id: id, State: status, Status: `Up 1 second (${health ?? ''})` }];
    });
  const answer = (path: string, response: ServerResponse): void => {
    const scripted = engine.override(path);
    if (scripted === null) return;
    if (scripted !== undefined) return json(response, scripted.status, scripted.body);
    const [, kind, id = ''] = /^\/(containers|networks)\/([^/]+)/.exec(path) ?? [];
    if (path === '/_ping') return json(response, 200, 'OK');
    if (path.startsWith('/events')) {
      streams.add(response);
      response.on('close', () => streams.delete(response));
      if (!isPodman) response.writeHead(200).flushHeaders();
      return;
    }
    if (kind === 'networks') return json(response, 200, { Driver: 'bridge' });
    if (id === 'json') return json(response, 200, listed());
    const spec = containers.get(id);
    if (spec === undefined) return json(response, 404, { message: `No such container: ${id}` });
    json(response, 200, inspection({ ...spec, id }));
  };
  const engine: ScriptedEngine = {
    socket,
    asked,
    containers,
    get subscribers() {
      return streams.size;
    },
    override: () => undefined,
    tell: (event) => {
      const line = typeof event === 'string' ? event : `${JSON.stringify(event)}\n`;
      for (const stream of streams) stream.write(line);
    },
    cut: () => {
      for (const stream of streams) stream.end();
    },
    end: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
    begin: async () => {
      rmSync(socket, { force: true });
      server = createServer((request, response) => {
        asked.push(request.url!);
        answer(request.url!.replace(/^\/v[\d.]+/, ''), response);
      });
      await new Promise<void>((resolve) => server.listen(socket, resolve));
    },
    stop: async () => {
      await engine.end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await engine.begin();
  return engine;
}

/** An id of which the first digits say which one it is. */
export function idOf(n: number): string {
  return n.toString(16).padStart(12, '0').padEnd(64, '0');
}

let lastNs = 1795287060_000_000_000;

/** An event of a container, now or at a time of its own. */
export function event(id: string, Action: string, attributes: object = {}, timeNano?: number) {
  lastNs += 1_000_000;
  const Actor = { ID: id, Attributes: attributes };
  return { Type: 'container', Action, Actor, timeNano: timeNano ?? lastNs };
}
