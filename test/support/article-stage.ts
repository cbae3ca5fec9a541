// Where the walk-throughs of articles are run: a real Docker Engine with the image of this project, and
// with the images that the articles start beside it, under their names. Those hold the real programs.
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import { consulBin } from './consul.ts';
import { type Engine, startEngine } from './engine.ts';
import { etcd34 } from './etcd.ts';
import { buildImages } from './image.ts';

export interface ArticleStage {
  readonly engine: Engine;
  /** The address of the engine's host, which the articles call $DOCKER_IP. */
  readonly address: string;
  /**
   * Runs commands as an article has them: $DOCKER_IP, $HOST_IP and $ETCD_HOST are set, and the socket
   * of Docker is where this engine has it.
   */
  sh(commands: string): Promise<string>;
  /** A container's own address. */
  ipOf(container: string): Promise<string>;
  /** `s1 up, s2 drain` of a service, by the stats port at this address of the engine's network. */
  states(stats: string, service: string): Promise<string>;
  /** Answers that an endpoint of the service began and did not end, by the same. */
  cutIn(stats: string, service: string): Promise<number>;
  /** The body of a GET, or why there is none. */
  get(url: string, headers?: Readonly<Record<string, string>>): Promise<string>;
  stop(): Promise<void>;
}

export async function startArticleStage(): Promise<ArticleStage> {
  const engine = await startEngine();
  const { address } = engine;
  const env = { DOCKER_IP: address, HOST_IP: address, ETCD_HOST: `${address}:4001` };
  const sh = (commands: string) =>
    engine.shell(commands.replaceAll('-v /var/run/docker.sock:', `-v ${engine.socket}:`), env);
  const stage: ArticleStage = {
    ...{ engine, address, sh },
    ipOf: async (container) => {
      const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
      return (await sh(`docker inspect -f '${format}' ${container}`)).trim();
    },
    states: async (stats, service) => {
      const text = await sh(`curl -s -m 30 http://${stats}/api/v1/services/${service} || true`);
      return statesIn(text);
    },
    cutIn: async (stats, service) => {
      const text = await sh(`curl -s -m 30 http://${stats}/api/v1/services/${service}`);
      return (JSON.parse(text) as { reasons: Record<string, number> }).reasons['response-cut'] ?? 0;
    },
    get: async (url, headers = {}) => {
      try {
        const { statusCode, body } = await request(url, { headers, headersTimeout: 30_000 });
        const text = (await body.text()).trim();
        return statusCode === 200 ? text : `status ${statusCode}: ${text}`;
      } catch (error) {
        return String(error);
      }
    },
    stop: () => engine.stop(),
  };
  try {
    await buildImages(engine);
    await loadOthers(engine);
  } catch (error) {
    await engine.stop();
    throw error;
  }
  return stage;
}

function statesIn(text: string): string {
  if (!text.startsWith('{')) return text;
  // The API's own shape (docs/reference/admin-api.md).
  const { endpoints = [] } = JSON.parse(text) as { endpoints?: { id: string; state: string }[] };
  // Of an id, `node/host:container:port` or `container:port`, what an article names is the container.
  const nameOf = (id: string): string => {
    const own = id.split('/').at(-1)!;
    return /^[\d.]+:\d+$/.test(own) ? own : (own.split(':').at(-2) ?? own);
  };
  return endpoints
    .map(({ id, state }) => `${nameOf(id)} ${state}`)
    .sort()
    .join(', ');
}

/** What the articles start beside the balancer, on the base image that the build was made on. */
async function loadOthers(engine: Engine): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'upriver-article-'));
  try {
    await copyFile(consulBin, join(folder, 'consul'));
    await copyFile(etcd34, join(folder, 'etcd'));
    await writeFile(join(folder, 'Dockerfile'), DOCKERFILE);
    for (const [target, name] of [
      ['consul', 'progrium/consul'],
      ['etcd', 'coreos/etcd'],
    ]) {
      const build = `docker build -q --target ${target} -t ${name} "$FOLDER"`;
      await engine.shell(build, { DOCKER_BUILDKIT: '1', FOLDER: folder });
    }
    for (const [name, port] of [
      ['python/server', 80],
      ['jwilder/whoami', 8000],
    ]) {
      const changes = [`CMD ${SERVER}`, `ENV PORT=${port}`, `EXPOSE ${port}`, 'WORKDIR /www'];
      const options = changes.map((change) => `-c '${change.replaceAll("'", `'"'"'`)}'`).join(' ');
      await engine.shell(
        `id=$(docker create whoami); docker export $id | docker import ${options} - ${name}; docker rm $id`,
      );
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** A server that answers its host name, and goes on with it for a second when it is stopped. */
const SERVER = `["/bin/sh", "-c", "hostname >/www/index.html; trap 'sleep 1; exit' TERM; httpd -f -p $PORT -h /www & wait; wait"]`;

const DOCKERFILE = `
FROM gcr.io/distroless/cc-debian12:nonroot AS base
USER 0
WORKDIR /data

FROM base AS consul
COPY consul /bin/consul
ENTRYPOINT ["/bin/consul", "agent", "-data-dir", "/data", "-client", "0.0.0.0", "-dns-port", "53", \\
  "-advertise", "{{ GetInterfaceIP \\"eth0\\" }}", "-disable-host-node-id", "-retry-interval", "1s", "-hcl", "performance { raft_multiplier = 1 }"]

FROM base AS etcd
COPY etcd /bin/etcd
ENTRYPOINT ["/bin/etcd", "--enable-v2=true", "--data-dir", "/data", "--logger", "zap", \\
  "--listen-client-urls", "http://0.0.0.0:4001", "--advertise-client-urls", "http://0.0.0.0:4001"]
`;
