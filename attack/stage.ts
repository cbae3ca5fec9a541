// What is attacked: an Upriver of its own on loopback with one worker, so that attacker and victim
// meet, and a table that is large enough for its pages to weigh something.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Authority } from '../test/support/certificates.ts';
import { startEndpoint } from '../test/support/endpoint.ts';
import { freePorts } from '../test/support/ports.ts';
import { spawnUpriver, type UpriverProcess } from '../test/support/upriver.ts';
import type { Target } from './attack.ts';
import { type Sources, startSources } from './sources.ts';
import { answers } from './victim.ts';

const READY_MS_MAX = 20_000;

export interface Stage {
  readonly pid: number;
  readonly target: Target;
  readonly stop: () => Promise<void>;
}

export interface StageOptions {
  /** Endpoints of the service of which none listens. */
  readonly deadEndpoints: number;
  readonly connectionsMax: number;
  readonly hasStatsTls: boolean;
}

export async function setStage(options: StageOptions): Promise<Stage> {
  const { connectionsMax, hasStatsTls } = options;
  const folder = mkdtempSync(join(tmpdir(), 'upriver-attack-'));
  const endpoints = [await startEndpoint('victim'), await startEndpoint('other')];
  const [statsPort = 0, victimPort = 0, otherPort = 0, hostileServicePort = 0, ...more] =
    await freePorts(12);
  const [hostilePort = 0, deadServicePort = 0, tlsPort = 0, victimTlsPort = 0, ...last] = more;
  const [udpPort = 0, udpEndpointPort = 0, hostileHttp2ServicePort = 0, hostileHttp2Port = 0] =
    last;
  const sources: Sources = await startSources();
  const authority = new Authority();
  const { certFile, keyFile } = authority.issue(['site.test']);
  const targetsFile = join(folder, 'targets.json');
  writeFileSync(targetsFile, '[]');
  const list = (ports: readonly number[]) => JSON.stringify(ports.map((one) => `127.0.0.1:${one}`));
  const service = (port: number, securePort = 0) => {
    const plain = `{ address: "127.0.0.1:${port}", http2: true }`;
    const secure = `{ address: "127.0.0.1:${securePort}", http2: true, tls: true }`;
    const listen = securePort === 0 ? plain : `[${plain}, ${secure}]`;
    return `{ listen: ${listen}, from: { registry: static }, limits: { connections: ${connectionsMax} } }`;
  };
  const config = join(folder, 'upriver.yaml');
  writeFileSync(
    config,
    `workers: 1
log: { level: error }
stats: { listen: { address: "127.0.0.1:${statsPort}", tls: ${hasStatsTls} } }
tls: { certificates: [{ cert_file: "${certFile}", key_file: "${keyFile}" }] }
registries: { file: { path: "${targetsFile}" }, ${sources.registries} }
static:
  victim: ${list([endpoints[0]!.port])}
  other: ${list([endpoints[1]!.port])}
  hostile: ${list([hostilePort])}
  hostile-http2: ${list([hostileHttp2Port])}
  udp: ${list([udpEndpointPort])}
  dead: ${JSON.stringify(deadAddresses(options.deadEndpoints))}
services:
  victim: ${service(victimPort, victimTlsPort)}
  other: ${service(otherPort, tlsPort)}
  hostile: ${service(hostileServicePort)}
  dead: ${service(deadServicePort)}
  hostile-http2: { listen: "127.0.0.1:${hostileHttp2ServicePort}", from: { registry: static }, upstream: { protocol: h2c } }
  udp: { listen: "127.0.0.1:${udpPort}", protocol: udp, from: { registry: static }, limits: { connections: ${connectionsMax} } }
  flapping: { from: { registry: file } }
${sources.services}
`,
  );
  const upriver = spawnUpriver(['run', '--config', config], {});
  await untilReady(`${hasStatsTls ? 'https' : 'http'}://127.0.0.1:${statsPort}/readyz`, upriver);
  return {
    pid: upriver.pid,
    target: {
      ...{ statsPort, victimPort, otherPort, hostileServicePort, hostilePort },
      ...{ deadServicePort, tlsPort, victimTlsPort, targetsFile, connectionsMax },
      ...{ udpPort, udpEndpointPort, hostileHttp2ServicePort, hostileHttp2Port },
      controlPort: sources.controlPort,
    },
    stop: async () => {
      await upriver.stop();
      await sources.stop();
      for (const endpoint of endpoints) await endpoint.kill();
      authority.remove();
      rmSync(folder, { recursive: true });
    },
  };
}

/** The port's certificate is of no name that is asked for: fetch would not have it. */
async function untilReady(url: string, upriver: UpriverProcess): Promise<void> {
  const untilMs = performance.now() + READY_MS_MAX;
  while (!(await answers(url))) {
    if (performance.now() > untilMs) {
      await upriver.stop();
      throw new Error(`Upriver is not ready:\n${upriver.output()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Addresses of loopback on which nobody listens: each refuses at once. */
function deadAddresses(count: number): string[] {
  return Array.from(
    { length: count },
    (_, i) => `127.${64 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}:9`,
  );
}
