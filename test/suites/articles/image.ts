// The image of the Dockerfile as users run it: on the host's network, as a user without rights; healthy,
// stuck, killed, and replaced by the next one while requests run.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ArticleStage } from '../../support/article-stage.ts';
import { startLoad } from '../../support/load.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const textOf = (path: string): string => readFileSync(join(root, path), 'utf8');
/** Of capabilities(7): CAP_NET_BIND_SERVICE is number 10. */
const BIND_SERVICE = '0000000000000400';
const NONE = '0000000000000000';

export function describeImage(stageOf: () => ArticleStage): void {
  describe('the image', () => {
    it('is as large as the README says, and holds no shell', async () => {
      const { sh } = stageOf();
      const [, said = ''] = /an image of (\d+) MB/.exec(textOf('README.md')) ?? [];
      for (const name of ['upriver', 'upriver:low-ports']) {
        const format = '{{.Config.User}} {{.Size}}';
        const text = await sh(`docker image inspect -f '${format}' ${name}`);
        const [user, size] = text.trim().split(' ');
        expect(user).toBe('65532:65532');
        expect(Number(size) / 1e6 / Number(said)).toBeCloseTo(1, 1);
      }
      const { version } = JSON.parse(textOf('package.json')) as { version: string };
      expect(await sh('docker run --rm upriver --version')).toContain(version);
      await expect(sh('docker run --rm --entrypoint /bin/sh upriver')).rejects.toThrow(
        'no such file',
      );
    });

    it('runs as its user with the one capability at most, and says whether it is healthy', async () => {
      const stage = stageOf();
      const { sh, address, get } = stage;
      const args = 'run --static web=127.0.0.1:8001 --service web';
      const health = '--health-interval 1s --health-retries 1';
      await sh('docker run -d -p 8001:80 --hostname w1 python/server');
      await sh(`docker run -d --name low --net host ${health} upriver:low-ports ${args}=80`);
      await expect.poll(() => get(`http://${address}/`)).toBe('w1');
      expect(await rightsOf(stage, 'low')).toEqual({ user: '65532', capabilities: BIND_SERVICE });
      const healthOf = () => sh(`docker inspect -f '{{.State.Health.Status}}' low`);
      await expect.poll(healthOf).toBe('healthy\n');
      await sh('docker kill --signal STOP low');
      await expect.poll(healthOf).toBe('unhealthy\n');
      await sh('docker kill --signal CONT low');
      await expect.poll(healthOf).toBe('healthy\n');
      await sh('docker kill low');
      // The default image opens high ports there, and says why it can't open low ones.
      await sh(`docker run -d --name high --net host upriver ${args}=8080`);
      await expect.poll(() => get(`http://${address}:8080/`)).toBe('w1');
      expect(await rightsOf(stage, 'high')).toEqual({ user: '65532', capabilities: NONE });
      await sh('docker kill high');
      const refused = sh(`docker run --rm --net host upriver ${args}=80 2>&1`);
      await expect(refused).rejects.toMatchObject({ stdout: expect.stringContaining('EACCES') });
    });

    it('opens low ports with fewer rights too, as the README says', async () => {
      const { sh, address, get } = stageOf();
      await sh('docker run -d -p 8001:80 --hostname w1 python/server');
      const args = 'run --static web=127.0.0.1:8001 --service web=80';
      const bind = '--cap-drop ALL --cap-add NET_BIND_SERVICE';
      for (const options of [bind, `${bind} --security-opt no-new-privileges --user 0`]) {
        await sh(`docker run -d --name bound --net host ${options} upriver:low-ports ${args}`);
        await expect.poll(() => get(`http://${address}/`)).toBe('w1');
        await sh('docker rm -f bound');
      }
    });

    it('is there again after it was killed', async () => {
      const stage = stageOf();
      const { sh, address, get } = stage;
      await sh('docker run -d -p 8001:80 --hostname w1 python/server');
      await sh(
        'docker run -d --name killed --net host --restart always upriver:low-ports run --static web=127.0.0.1:8001 --service web=80',
      );
      await expect.poll(() => get(`http://${address}/`)).toBe('w1');
      const before = await pidOf(stage, 'killed');
      process.kill(before, 'SIGKILL');
      await expect.poll(() => pidOf(stage, 'killed').then((pid) => pid !== before)).toBe(true);
      await expect.poll(() => get(`http://${address}/`)).toBe('w1');
    });

    it('is replaced by the next one as docs/guides/upgrade.md says, and no request is lost', async () => {
      const { sh, address, get } = stageOf();
      await sh('docker run -d --net host progrium/consul -server -bootstrap -advertise $DOCKER_IP');
      await expect.poll(() => get(`http://${address}:8500/v1/status/leader`)).toMatch(/:8300"$/);
      for (const port of [8001, 8002]) {
        await sh(`docker run -d -p ${port}:80 python/server`);
        const service = JSON.stringify({ Name: 'web', ID: `w${port}`, Port: port });
        await sh(
          `curl -fsS -X PUT -d '${service}' http://localhost:8500/v1/agent/service/register`,
        );
      }
      const [upgrade = '', setting = ''] = [
        ...textOf('docs/guides/upgrade.md').matchAll(/```sh\n([^`]*)```/g),
      ].map(([, commands]) => commands!);
      // The engine's own network has a setting of its own.
      const [, value = ''] = /sysctl -w net\.ipv4\.tcp_migrate_req=(\d)/.exec(setting) ?? [];
      await sh(`echo ${value} >/proc/sys/net/ipv4/tcp_migrate_req`);
      await sh('docker tag upriver:low-ports upriver:next');
      const env = '-e CONSUL=127.0.0.1:8500 -e SERVICE=web';
      await sh(`docker run -d --name upriver-1 --network host ${env} upriver:low-ports`);
      await expect.poll(() => get(`http://${address}/`)).toMatch(/^[0-9a-f]{12}$/);
      const load = startLoad({
        ...{ url: `http://${address}/`, perSecond: 200, timeoutMs: 20_000, repeatsStale: true },
      });
      await load.next(100);
      await sh(upgrade);
      await load.next(100);
      const { failures, ok } = await load.stop();
      expect(failures).toEqual([]);
      expect(ok).toBeGreaterThan(300);
      expect(await sh(`docker inspect -f '{{.State.ExitCode}}' upriver-1`)).toBe('0\n');
      const status = JSON.parse(await get(`http://${address}:1936/api/v1/status`)) as object;
      expect(status).toMatchObject({ takeover: { from: expect.anything() } });
    });
  });
}

async function pidOf({ sh }: ArticleStage, container: string): Promise<number> {
  return Number(await sh(`docker inspect -f '{{.State.Pid}}' ${container}`));
}

/** Who its process is, and what it may. */
async function rightsOf(stage: ArticleStage, container: string) {
  const status = readFileSync(`/proc/${await pidOf(stage, container)}/status`, 'utf8');
  const field = (name: string) => new RegExp(`^${name}:\\s+(\\w+)`, 'm').exec(status)?.[1];
  return { user: field('Uid'), capabilities: field('CapEff') };
}
