// `upriver dev`: the balancer with a registry and two endpoints of its own, to try it with nothing
// else at hand. It is the real thing on an embedded registry, reached over HTTP like any other.
import { EmbeddedRegistry } from '../dev/embedded-registry.ts';
import { freeNear, listenNear } from '../dev/ports.ts';
import { startWhoami, type Whoami } from '../dev/whoami.ts';
import { run } from './run.ts';

const REGISTRY_PORT = 8500;
const SERVICE_PORT = 8000;
const STATS_PORT = 1936;

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
