// `upriver dev`: the balancer with a registry and two endpoints of its own, to try it with nothing
// else at hand. It is the real thing on an embedded registry, reached over HTTP like any other.
import { createServer } from 'node:net';
import { codeOf } from '../base/coded-error.ts';
import { EmbeddedRegistry } from '../dev/embedded-registry.ts';
import { startWhoami, type Whoami } from '../dev/whoami.ts';
import { run } from './run.ts';

const REGISTRY_PORT = 8500;
const SERVICE_PORT = 8000;
const STATS_PORT = 1936;
/** How many ports after a taken one are tried. */
const TRIES = 100;

export async function dev(): Promise<number> {
  const registry = new EmbeddedRegistry();
  const registryPort = await listenNear(REGISTRY_PORT, (port) => registry.listen(port));
  const servicePort = await freeNear(SERVICE_PORT, '0.0.0.0');
  const statsPort = await freeNear(STATS_PORT, '127.0.0.1');
  const agent = `http://127.0.0.1:${registryPort}`;
  const endpoints = await Promise.all(['whoami-1', 'whoami-2'].map((name) => startWhoami(name, 0)));
  for (const [i, endpoint] of endpoints.entries())
    await register(agent, `whoami-${i + 1}`, endpoint);
  const code = await run({
    flags: {
      consul: [agent],
      service: [`whoami=${servicePort}`],
      stats: `127.0.0.1:${statsPort}`,
      'log-format': 'pretty',
    },
    env: {},
    path: '',
    onStarted: () => console.log(whatToTry({ agent, servicePort, statsPort })),
  });
  await Promise.all([registry.close(), ...endpoints.map((endpoint) => endpoint.close())]);
  return code;
}

async function register(agent: string, id: string, { port }: Whoami): Promise<void> {
  const body = { Name: 'whoami', ID: id, Address: '127.0.0.1', Port: port };
  await fetch(`${agent}/v1/agent/service/register`, { method: 'PUT', body: JSON.stringify(body) });
}

function whatToTry(at: { agent: string; servicePort: number; statsPort: number }): string {
  const { agent, servicePort, statsPort } = at;
  return `
Upriver runs, with a registry of its own on ${agent} and two endpoints of service whoami.

  Call it (again and again: the endpoints take turns):
    curl http://127.0.0.1:${servicePort}/

  Start a third endpoint in another terminal, and register it; it is served at once:
    npm run upriver -- dev whoami-3 8103
    curl -X PUT -d '{"Name":"whoami","ID":"whoami-3","Address":"127.0.0.1","Port":8103}' ${agent}/v1/agent/service/register

  Take it out again:
    curl -X PUT ${agent}/v1/agent/service/deregister/whoami-3

  Watch:
    http://127.0.0.1:${statsPort}/stats

  Ctrl-C ends everything.
`;
}

/** `upriver dev NAME PORT`: one more endpoint, until it is ended. */
export async function devEndpoint(name: string, portText: string): Promise<number> {
  const port = Number(portText);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    console.error(`upriver: dev: '${portText}': expected a port`);
    return 2;
  }
  const endpoint = await startWhoami(name, port);
  console.log(`${name} answers on http://127.0.0.1:${endpoint.port}/`);
  await new Promise((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  await endpoint.close();
  return 0;
}

/** Listens on `wanted` or the next port that is free, and says so when it is another. */
async function listenNear(
  wanted: number,
  listen: (port: number) => Promise<number>,
): Promise<number> {
  for (let port = wanted; port < wanted + TRIES; port += 1) {
    try {
      const bound = await listen(port);
      if (bound !== wanted) console.log(`port ${wanted} is in use; ${bound} is used instead`);
      return bound;
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE') throw error;
    }
  }
  throw new Error(`no free port from ${wanted} to ${wanted + TRIES}`);
}

/** The first free port from `wanted` on, for a listener that is opened later. */
function freeNear(wanted: number, host: string): Promise<number> {
  return listenNear(wanted, async (port) => {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
    await new Promise((resolve) => server.close(resolve));
    return port;
  });
}
