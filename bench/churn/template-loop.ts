// A stand-in for consul-template, which the bench can't count on being installed: a blocking query
// for the passing instances, and for each new answer a rendered file and a reload. It waits for no
// quiet period, the kindest setting for how fast a change arrives. Run as a program it starts the
// proxy as its child: node template-loop.ts nginx|haproxy CONSUL_URL PORT FOLDER
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { haproxy } from '../against/haproxy.ts';
import { findNginx } from '../against/nginx.ts';
import type { Kind } from './loop-command.ts';
import { renderHaproxy, renderHaproxyServers } from './subjects/haproxy-reload.ts';
import { renderNginx } from './subjects/nginx-reload.ts';

const WAIT = '60s';
/** consul-template's first pause after a failed query. */
const RETRY_MS = 250;
/** HAProxy's master says this when a new worker has taken over. */
const RELOADED = 'Loading success';
const RELOAD_MS_MAX = 300;
const RELOAD_TRIES = 5;
const run = promisify(execFile);

interface Answer {
  readonly servers: readonly string[];
  readonly index: string;
}

interface Instance {
  readonly Service: { readonly Address: string; readonly Port: number };
}

/** `address:port` of the instances, sorted, so that only a change changes the file. */
export function serversOf(instances: readonly Instance[]): string[] {
  return instances.map(({ Service }) => `${Service.Address}:${Service.Port}`).sort();
}

async function ask(consulUrl: string, index: string): Promise<Answer> {
  const query = `passing=1&wait=${WAIT}&index=${index}`;
  const response = await fetch(`${consulUrl}/v1/health/service/web?${query}`);
  if (response.status !== 200) throw new Error(`Consul answered ${response.status}`);
  // Consul's own shape.
  const instances = (await response.json()) as Instance[];
  const next = response.headers.get('x-consul-index') ?? '0';
  // An index that went back means a new registry: ask from the beginning (Consul's own advice).
  return { servers: serversOf(instances), index: Number(next) < Number(index) ? '0' : next };
}

async function follow(kind: Kind, consulUrl: string, port: number, folder: string): Promise<never> {
  const path = join(folder, `${kind}.conf`);
  let child: ChildProcess | null = null;
  let rendered = '';
  let index = '0';
  for (;;) {
    const answer = await ask(consulUrl, index).catch(() => null);
    if (answer === null) {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      continue;
    }
    index = answer.index;
    const text = render(kind, answer.servers, { port, folder });
    if (text === rendered) continue;
    rendered = text;
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
    if (child === null) child = begin(kind, path, folder);
    else await reload(kind, path, { child, folder });
  }
}

function render(kind: Kind, servers: readonly string[], at: { port: number; folder: string }) {
  if (kind === 'nginx') return renderNginx(servers, at.port, at.folder);
  return renderHaproxy(at.port, renderHaproxyServers(servers), socketLine(at.folder));
}

function socketLine(folder: string): string {
  return `  stats socket ${join(folder, 'admin.sock')} mode 600 level admin expose-fd listeners\n`;
}

function begin(kind: Kind, path: string, folder: string): ChildProcess {
  const [file, args] =
    kind === 'nginx'
      ? [findNginx().path, ['-e', join(folder, 'error.log'), '-c', path]]
      : // With -W and a socket that exposes them, listening sockets go over to the new worker.
        [haproxy.find().path, ['-W', '-f', path]];
  const child = spawn(file, args, { stdio: ['inherit', 'inherit', 'pipe'] });
  child.stderr.pipe(process.stderr);
  child.on('exit', (code) => process.exit(code ?? 1));
  return child;
}

interface Begun {
  readonly child: ChildProcess;
  readonly folder: string;
}

/** A refused configuration leaves the old one running, with both. */
async function reload(kind: Kind, path: string, { child, folder }: Begun): Promise<void> {
  if (kind === 'haproxy') {
    // A signal that comes within milliseconds of the last reload is lost (2.6): kinder than
    // consul-template, this loop repeats it until the master tells of a new worker.
    for (let i = 0; i < RELOAD_TRIES; i += 1) {
      const isDone = hears(child, RELOADED);
      child.kill('SIGUSR2');
      if (await isDone) return;
    }
    console.error(`no word of a reload in ${RELOAD_TRIES} tries`);
    return;
  }
  const args = ['-e', join(folder, 'error.log'), '-c', path, '-s', 'reload'];
  await run(findNginx().path, args).catch((error: unknown) => console.error(String(error)));
}

/** Whether the child says `word` on stderr within RELOAD_MS_MAX. */
function hears({ stderr }: ChildProcess, word: string): Promise<boolean> {
  return new Promise((resolve) => {
    let said = '';
    const end = (isHeard: boolean): void => {
      clearTimeout(patience);
      stderr!.off('data', listen);
      resolve(isHeard);
    };
    const listen = (text: Buffer): void => {
      said += String(text);
      if (said.includes(word)) end(true);
    };
    const patience = setTimeout(end, RELOAD_MS_MAX, false);
    stderr!.on('data', listen);
  });
}

if (import.meta.main) {
  const [kind, consulUrl = '', port, folder = ''] = process.argv.slice(2);
  await follow(kind === 'nginx' ? 'nginx' : 'haproxy', consulUrl, Number(port), folder);
}
