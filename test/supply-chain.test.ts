// What is built and published, as far as it can be seen here: the workflows run commands that exist,
// with few rights; what is installed changes nothing of the system; images come by digest.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const root = join(import.meta.dirname, '..');
const textOf = (...path: string[]) => readFileSync(join(root, ...path), 'utf8');
// Our own file.
const { scripts, devDependencies } = JSON.parse(textOf('package.json')) as Record<
  'scripts' | 'devDependencies',
  Record<string, string>
>;

interface Step {
  readonly uses?: string;
  readonly with?: Readonly<Record<string, string>>;
  readonly run?: string;
}
interface Workflow {
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}
interface Job {
  readonly 'timeout-minutes': number;
  readonly steps: readonly Step[];
  readonly needs?: string;
  readonly container?: { readonly image: string; readonly options: string };
}

const folder = '.github/workflows';
const workflows = readdirSync(join(root, folder)).map((file) => {
  return [file, parse(textOf(folder, file)) as Workflow] as const;
});

describe.each(workflows)('%s', (_, { permissions, jobs }) => {
  const steps = Object.values(jobs).flatMap((job) => job.steps);

  it('may read, and where it may more a job says so', () => {
    expect(permissions).toEqual({ contents: 'read' });
    for (const job of Object.values(jobs)) expect(job['timeout-minutes']).toBeGreaterThan(0);
  });

  it('runs scripts that exist', () => {
    const called = steps.flatMap(({ run = '' }) => [...run.matchAll(/npm run (\S+)/g)]);
    for (const [, name] of called) expect(Object.keys(scripts)).toContain(name);
  });

  it('tests as root on Debian, where all that the tests need can be fetched', () => {
    const testing = Object.entries(jobs).filter(([, job]) =>
      job.steps.some(({ run }) => run === 'npm test'),
    );
    expect(testing.map(([name]) => name)).toEqual(['test']);
    for (const [, { container }] of testing) {
      expect(container).toMatchObject({ image: 'node:20-bookworm', options: '--privileged' });
    }
    if (jobs.release !== undefined) expect(jobs.release.needs).toBe('test');
  });

  it('names each action with a version or a commit', () => {
    for (const { uses } of steps) {
      if (uses !== undefined) expect(uses).toMatch(/^[\w-]+\/[\w-]+@(v\d+|[0-9a-f]{40})$/);
    }
  });
});

it('installing looks, and changes nothing of the system', () => {
  const hooks = ['preinstall', 'install', 'postinstall', 'prepare'].flatMap(
    (name) => scripts[name] ?? [],
  );
  const files = hooks.flatMap((hook) => hook.match(/scripts\/\S+/g) ?? []);
  expect(files).toEqual(['scripts/check-runtime.mjs']);
  for (const file of files) {
    const text = textOf(file).replaceAll(/'[^'\n]*install the system's[^;]*;/gs, '');
    expect(text).not.toMatch(/execFile|exec\(|writeFile|fetch\(/);
    expect([...text.matchAll(/spawnSync\(([^,)]*)/g)].map((match) => match[1])).toEqual(['node']);
  }
});

it('the SBOM has every dependency, for the build bundles them', () => {
  const [, command = ''] = /- run: npm (sbom .*) > /.exec(textOf(folder, 'release.yml')) ?? [];
  const text = execFileSync('npm', command.split(' '), {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 32 * 1024 ** 2,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  // CycloneDX; an alias stands under its own name.
  const { components } = JSON.parse(text) as { components: { name: string }[] };
  const names = components.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(Object.keys(devDependencies)));
});

describe('the image', () => {
  const dockerfile = textOf('Dockerfile');
  const release = textOf(folder, 'release.yml');

  it('is built from bases that the release replaces by their digests', () => {
    const bases = [...dockerfile.matchAll(/^ARG (\w+_IMAGE)=/gm)].map(([, name]) => name!);
    const from = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, name]) => name!);
    const stages = new Set([...dockerfile.matchAll(/^FROM \S+ AS (\S+)/gm)].map(([, n]) => n!));
    for (const name of from) {
      const isBase = bases.some((base) => name === `$${`{${base}}`}`);
      expect(isBase || stages.has(name), name).toBe(true);
    }
    for (const base of bases)
      expect(release).toContain(`${base}=$${`{{ steps.base.outputs.${base} }}`}`);
  });

  it('has a capability only where a low port is wanted', () => {
    const capable = dockerfile.split('\n').filter((line) => line.includes('setcap'));
    expect(capable).toHaveLength(1);
    expect(capable[0]).toContain(' /low-ports/');
    const last = dockerfile.lastIndexOf('\nFROM ');
    expect(dockerfile.slice(last)).toBe('\nFROM runtime\nCOPY --from=build /plain/ /\n');
  });

  it('is released from the stages that the Dockerfile has', () => {
    const stages = [...dockerfile.matchAll(/^FROM \S+ AS (\S+)/gm)].map(([, name]) => name!);
    const { jobs } = parse(release) as Workflow;
    const builds = Object.values(jobs)
      .flatMap((job) => job.steps)
      .filter(({ uses = '' }) => uses.startsWith('docker/build-push-action@'));
    const targets = builds.map((step) => step.with?.target ?? '');
    expect(targets).toEqual(['', 'low-ports']);
    for (const target of targets) expect(['', ...stages]).toContain(target);
  });

  it('is made by the rules of container files', () => {
    const instructions = instructionsOf(dockerfile);
    const of = (name: string) => instructions.filter((one) => one.startsWith(`${name} `));
    // Programs are started without a shell, of which there is none.
    for (const one of [...of('ENTRYPOINT'), ...of('CMD')]) expect(one).toMatch(/^\w+ \[".*"\]$/);
    expect(of('HEALTHCHECK')).toHaveLength(1);
    expect(of('HEALTHCHECK')[0]).toMatch(/ CMD \[".*"\]$/);
    // A number says that it is not root without looking into the image.
    expect(of('USER')).toEqual(['USER 65532:65532']);
    expect(of('ADD')).toEqual([]);
    for (const one of of('WORKDIR')) expect(one).toMatch(/^WORKDIR \//);
    for (const one of of('ARG')) expect(one).toMatch(/^ARG \w+_IMAGE=\S+:(?!latest)\S+$/);
    for (const one of of('RUN')) {
      expect(one).not.toMatch(/\bsudo\b|npm install|curl .*\|/);
      if (!one.includes('apt-get install')) continue;
      expect(one).toMatch(/apt-get update && apt-get install -y --no-install-recommends /);
      expect(one).toContain('rm -rf /var/lib/apt/lists/*');
    }
    // Libraries are installed before the sources are copied: a change of these does not install anew.
    const at = (text: string) => instructions.findIndex((one) => one.includes(text));
    expect(at('npm ci')).toBeLessThan(at('COPY . .'));
    // It is built wherever its base images are, without a front end from a registry.
    expect(dockerfile).not.toMatch(/^#\s*syntax\s*=/m);
  });

  it('copies what exists', () => {
    for (const file of ['scripts/check-runtime.mjs', 'LICENSE', 'config.schema.json', 'bin']) {
      expect(existsSync(join(root, file))).toBe(true);
    }
  });
});

/** The instructions of a Dockerfile, each on one line, without comments. */
function instructionsOf(text: string): string[] {
  const lines = text.split('\n').filter((line) => !line.startsWith('#'));
  return lines
    .join('\n')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line !== '');
}
