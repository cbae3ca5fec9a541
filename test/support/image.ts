// The images of the Dockerfile, built by a real engine from base images that are made here: no registry
// is asked. What the build installs comes from Debian's mirror and npm's registry, as for everyone.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Engine } from './engine.ts';
import { startForwardProxy } from './forward-proxy.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');

/** `docker build` of the README, both of them: the images `upriver` and `upriver:low-ports`. */
export async function buildImages(engine: Engine): Promise<void> {
  await run(join(root, 'scripts', 'load-base-images'), [engine.cli, engine.socket]);
  const proxy = await startForwardProxy(engine.gateway);
  try {
    const args = ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy'].map(
      (name) => `--build-arg ${name}=${proxy.url}`,
    );
    const build = `docker build --progress plain ${args.join(' ')}`;
    const env = { DOCKER_BUILDKIT: '1', ROOT: root };
    await engine.shell(`cd "$ROOT"; ${build} -t upriver . 2>&1`, env);
    await engine.shell(`${build} --target low-ports -t upriver:low-ports "$ROOT" 2>&1`, env);
  } finally {
    await proxy.close();
  }
}
