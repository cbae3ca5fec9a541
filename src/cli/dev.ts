// `upriver dev`: the balancer with a registry and two endpoints of its own, to try it with nothing
// else at hand. It is the real thing: `run` with flags, and the registry is reached over HTTP like
// any other.
import { systemClock } from '../base/clock.ts';
import { codeOf, messageOf } from '../base/coded-error.ts';
import { safeLine } from '../base/safe-text.ts';
import { createEmbeddedRegistry } from '../dev/embedded-registry.ts';
import { freeNear, listenNear } from '../dev/ports.ts';
import { startWhoami, type Whoami } from '../dev/whoami.ts';
import { run } from './run.ts';

const HOST = '127.0.0.1';
const REGISTRY_PORT = 8500;
const SERVICE_PORT = 8000;
const STATS_PORT = 1936;
/** The port that the printed lines propose for a third endpoint. */
const THIRD_PORT = 8103;

interface Places {
  readonly agent: string;
  readonly servicePort: number;
  readonly statsPort: number;
}

/** Runs until it is asked to end; resolves with the exit code. */
export async function dev(): Promise<number> {
  const registry = createEmbeddedRegistry({ clock: systemClock, random: Math.random });
  const endpoints: Whoami[] = [];
  try {
    const port = await listenNear({ what: 'the registry', wanted: REGISTRY_PORT }, (near) =>
      registry.listen(HOST, near),
    );
    const places: Places = {
      agent: `http://${HOST}:${port}`,
      servicePort: await freeNear({ what: 'service whoami', wanted: SERVICE_PORT }),
      statsPort: await freeNear({ what: 'the stats port', wanted: STATS_PORT }),
    };
    for (const id of ['whoami-1', 'whoami-2']) {
      const endpoint = await startWhoami(id, 0);
      endpoints.push(endpoint);
      await register(places.agent, registrationOf(id, endpoint.port));
    }
    return await balance(places);
  } catch (error) {
    console.error(`upriver: dev: ${safeLine(messageOf(error))}`);
    return 1;
  } finally {
    await Promise.all([registry.close(), ...endpoints.map((endpoint) => endpoint.close())]);
  }
}

function balance(places: Places): Promise<number> {
  const { agent, servicePort, statsPort } = places;
  return run({
    flags: {
      consul: [agent],
      service: [`whoami=${servicePort}`],
      stats: `:${statsPort}`,
      'log-format': 'pretty',
    },
    // What the shell has set for a real registry must not lead this one astray.
    env: {},
    path: '',
    onStarted: () => console.log(whatToTry(places)),
  });
}

function registrationOf(id: string, port: number) {
  return { Name: 'whoami', ID: id, Address: HOST, Port: port };
}

async function register(agent: string, body: object): Promise<void> {
  const response = await fetch(`${agent}/v1/agent/service/register`, {
    method: 'PUT',
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`the registry refused: ${await response.text()}`);
}

function whatToTry({ agent, servicePort, statsPort }: Places): string {
  const third = JSON.stringify(registrationOf('whoami-3', THIRD_PORT));
  return `
Upriver runs, with a registry of its own on ${agent} and two endpoints of service whoami.

  Call it several times:
    curl http://${HOST}:${servicePort}/

  Start a third endpoint in another terminal, and register it. It gets requests at once:
    npm run upriver -- dev whoami-3 ${THIRD_PORT}
    curl -X PUT -d '${third}' ${agent}/v1/agent/service/register

  Take it out again:
    curl -X PUT ${agent}/v1/agent/service/deregister/whoami-3

  See what is served, and why:
    http://${HOST}:${statsPort}/stats

  Ctrl-C ends everything.
`;
}

/** `upriver dev NAME PORT`: one more endpoint, until it is ended. */
export async function devEndpoint(name: string, portText: string): Promise<number> {
  const port = Number(portText);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    console.error(`upriver: dev: '${safeLine(portText)}': expected a port from 0 (any) to 65535`);
    return 2;
  }
  try {
    const endpoint = await startWhoami(name, port);
    console.log(`${name} answers on http://${HOST}:${endpoint.port}/`);
    await asked();
    await endpoint.close();
    return 0;
  } catch (error) {
    const why = codeOf(error) === 'EADDRINUSE' ? `port ${port} is in use` : messageOf(error);
    console.error(`upriver: dev: ${name}: ${safeLine(why)}`);
    return 1;
  }
}

function asked(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
}
