// The configuration over time, on a real file in a real folder.
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { CodedError } from '../../src/base/coded-error.ts';
import { silentLogger } from '../../src/base/log.ts';
import { ConfigSource } from '../../src/config/source.ts';
import type { Settings } from '../../src/model/settings.ts';
import { ManualClock } from '../support/clock.ts';

let folder: string;
let path: string;
let source: ConfigSource;
let applied: { readonly settings: Settings; readonly why: string }[];
let errors: string[];
let infos: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'upriver-config-'));
  path = join(folder, 'upriver.yaml');
  applied = [];
  errors = [];
  infos = [];
  duringStart = () => {};
});
afterEach(() => {
  source.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(text: string): void {
  writeFileSync(path, text);
  openAt(path);
}

function openAt(file: string, flags = {}, clock: Clock = systemClock): void {
  source = new ConfigSource({
    ...{ flags, env: {}, path: file, clock },
    log: {
      ...silentLogger,
      error: (_, message) => errors.push(message),
      info: (_, message) => infos.push(message),
    },
    onSettings: (settings, why) => applied.push({ settings, why }),
  });
  source.loadFirst();
  duringStart();
  source.watch();
}

/** What happens between the first reading and the watch: a start takes its time. */
let duringStart: () => void;

const workers = () => applied.map(({ settings }) => settings.workers);

it('watches nothing when the process was stopped while it started', () => {
  const clock = new ManualClock();
  duringStart = () => source.close();
  writeFileSync(path, 'workers: 2');
  openAt(path, {}, clock);
  expect(clock.waiting).toBe(0);
});

it('sees what was changed while the process started', async () => {
  duringStart = () => writeFileSync(path, 'workers: 3');
  open('workers: 2');
  await expect.poll(workers).toEqual([3]);
});

it('of a disk that does not answer is asked for again until it does, and then applied', async () => {
  const clock = new ManualClock();
  let answer = (): Promise<string> => Promise.resolve('workers: 2');
  source = new ConfigSource({
    ...{ flags: {}, env: {}, path: '/mnt/upriver.yaml', clock, log: silentLogger },
    onSettings: (settings, why) => applied.push({ settings, why }),
    door: {
      readFirst: () => 'workers: 2',
      read: () => answer(),
      watch: () => ({ close() {} }),
      loadLarge: () => Promise.reject(new Error('it is small')),
    },
  });
  source.loadFirst();
  source.watch();
  answer = () => Promise.reject(new CodedError('hanging', 'its disk does not answer'));
  clock.advance(50);
  await source.settled();
  expect(source.status.error).toContain('its disk does not answer');
  clock.advance(2000);
  await source.settled();
  answer = () => Promise.resolve('workers: 3');
  clock.advance(2000);
  await source.settled();
  expect(workers()).toEqual([3]);
  expect(source.status.error).toBe('');
  expect(clock.waiting).toBe(0);
});

describe('a file that changes', () => {
  it('is applied when it is written', async () => {
    open('workers: 1');
    writeFileSync(path, 'workers: 2');
    await expect.poll(workers).toEqual([2]);
    expect(applied[0]!.why).toBe('file changed');
    expect(source.status).toMatchObject({ error: '' });
  });

  it('is applied when another is renamed over it, again and again', async () => {
    open('workers: 1');
    for (const count of [2, 3, 4]) {
      writeFileSync(`${path}.new`, `workers: ${count}`);
      renameSync(`${path}.new`, path);
      await expect.poll(() => workers().at(-1)).toBe(count);
    }
  });

  it('is applied when a symlink to its folder is swapped, as in a ConfigMap', async () => {
    for (const [version, count] of [
      ['v1', 1],
      ['v2', 2],
    ] as const) {
      mkdirSync(join(folder, version));
      writeFileSync(join(folder, version, 'upriver.yaml'), `workers: ${count}`);
    }
    symlinkSync('v1', join(folder, '..data'));
    symlinkSync('..data/upriver.yaml', path);
    openAt(path);
    symlinkSync('v2', join(folder, '..tmp'));
    renameSync(join(folder, '..tmp'), join(folder, '..data'));
    await expect.poll(workers).toEqual([2]);
  });

  it('without a change of its text is applied to nothing', async () => {
    open('workers: 1');
    writeFileSync(path, 'workers: 1');
    source.reload('SIGHUP');
    writeFileSync(path, 'workers: 2');
    await expect.poll(workers).toEqual([2]);
  });
});

describe('a bad file', () => {
  it('is refused, told once, and what ran goes on; a good one is applied', async () => {
    open('workers: 1');
    const { loadedMs } = source.status;
    writeFileSync(path, 'workers: many');
    await expect.poll(() => errors).toHaveLength(1);
    expect(errors[0]).toMatch(/^configuration refused: upriver\.yaml:1:10: workers: "many": /);
    expect(source.status).toMatchObject({ loadedMs });
    expect(source.status.error).toContain('upriver.yaml:1:10');
    source.reload('SIGHUP');
    expect(errors).toHaveLength(1);
    expect(workers()).toEqual([]);
    writeFileSync(path, 'workers: 3');
    await expect.poll(workers).toEqual([3]);
    expect(source.status.error).toBe('');
  });

  it('that becomes what it was is well again, and changes nothing', async () => {
    open('workers: 1');
    writeFileSync(path, 'workers: many');
    await expect.poll(() => source.status.error).not.toBe('');
    writeFileSync(path, 'workers: 1');
    await expect.poll(() => source.status.error).toBe('');
    expect(workers()).toEqual([]);
    expect(infos).toEqual(['configuration is valid again: the one that runs']);
  });

  it('that another good one replaces is said to be valid again, and applied', async () => {
    open('workers: 1');
    writeFileSync(path, 'workers: many');
    await expect.poll(() => errors).toHaveLength(1);
    writeFileSync(path, 'workers: 3');
    await expect.poll(workers).toEqual([3]);
    expect(infos).toEqual([
      'configuration is valid again: another than the one that ran',
      'configuration applied',
    ]);
  });

  it('is one that is empty, as while it is written', async () => {
    open('workers: 1');
    writeFileSync(path, '');
    await expect.poll(() => errors).toHaveLength(1);
    expect(errors[0]).toContain('upriver.yaml:1:1: the file is empty: expected settings');
    expect(workers()).toEqual([]);
    writeFileSync(path, 'workers: 1');
    await expect.poll(() => source.status.error).toBe('');
  });

  it('is one that is gone, until it comes back', async () => {
    open('workers: 1');
    unlinkSync(path);
    await expect.poll(() => source.status.error).toContain('ENOENT');
    expect(workers()).toEqual([]);
    writeFileSync(path, 'workers: 2');
    await expect.poll(workers).toEqual([2]);
  });
});

const FILE = 'workers: 1\nservices: { web: { listen: 80 } }';
const overlayOf = (port: unknown) => `services: { web: { listen: ${port} } }`;
const port = (settings: Settings) => {
  const address = settings.services[0]!.listen[0]?.address;
  return address?.kind === 'tcp' ? address.port : 0;
};
async function setOverlay(key: string, text: string | null): Promise<void> {
  source.setOverlay(key, text);
  await source.settled();
}
const ports = () => applied.map(({ settings }) => port(settings));

describe('the overlay', () => {
  it('is laid over the file, and taken away again', async () => {
    open(FILE);
    const before = source.loadFirst().settings;
    await setOverlay('upriver/config', overlayOf(8081));
    expect(applied.at(-1)).toMatchObject({ why: 'kv upriver/config', settings: { workers: 1 } });
    expect(ports()).toEqual([8081]);
    await setOverlay('upriver/config', null);
    expect(applied.at(-1)!.settings).toEqual(before);
  });

  it('with a problem is refused, and does not hold back the one that runs', async () => {
    open(FILE);
    await setOverlay('upriver/config', overlayOf(8081));
    await setOverlay('upriver/config', overlayOf('x'));
    const refused = /^configuration refused: kv upriver\/config:1:28: services.web.listen: "x": /;
    expect(errors).toEqual([expect.stringMatching(refused)]);
    expect(source.status.error).toContain('kv upriver/config:1:28');
    expect(ports()).toEqual([8081]);
    await setOverlay('upriver/config', null);
    expect(ports()).toEqual([8081, 80]);
    expect(source.status.error).toBe('');
  });

  it('that is forbidden changes nothing, also not what is allowed beside it', async () => {
    open(FILE);
    await setOverlay('upriver/config', `${overlayOf(8081)}\nregistries: { consul: {} }`);
    expect(applied).toEqual([]);
    expect(errors).toEqual([expect.stringContaining('registries: a map: must not be set')]);
  });

  it('with a problem does not keep the file from being changed', async () => {
    open(FILE);
    await setOverlay('upriver/config', overlayOf(8081));
    await setOverlay('upriver/config', 'log: { level: debug }');
    writeFileSync(path, 'workers: 2\nservices: { web: { listen: 90 } }');
    await expect.poll(workers).toEqual([1, 2]);
    // The last good overlay counts meanwhile, and what is wrong with the new one is still told.
    expect(ports()).toEqual([8081, 8081]);
    expect(source.status.error).toContain('log: a map: must not be set by the overlay');
    await setOverlay('upriver/config', null);
    expect(ports()).toEqual([8081, 8081, 90]);
    expect(source.status.error).toBe('');
  });

  it('that the file no longer goes with does not keep the file from being changed either', async () => {
    const consul = 'registries: { consul: { listen_allow: [8000-8999] } }';
    open(`${FILE}\n${consul}`);
    await setOverlay('upriver/config', overlayOf(8081));
    expect(ports()).toEqual([8081]);
    // What the overlay may do is the file's to say: it is left out, as after a restart.
    const narrow = 'registries: { consul: { listen_allow: [9000] } }';
    writeFileSync(path, `workers: 2\nservices: { web: { listen: 90 } }\n${narrow}`);
    await expect.poll(workers).toEqual([1, 2]);
    expect(ports()).toEqual([8081, 90]);
    expect(source.status.error).toContain('8081 is not allowed in the overlay');
    writeFileSync(path, `workers: 3\nservices: { web: { listen: 90 } }\n${consul}`);
    await expect.poll(workers).toEqual([1, 2, 3]);
    expect(ports()).toEqual([8081, 90, 8081]);
    expect(source.status.error).toBe('');
  });

  it('stays while the file is bad, and so does what runs', async () => {
    open(FILE);
    await setOverlay('upriver/config', overlayOf(8081));
    writeFileSync(path, 'workers: many');
    await expect.poll(() => errors).toHaveLength(1);
    await source.settled();
    expect(ports()).toEqual([8081]);
    writeFileSync(path, 'workers: 2\nservices: { web: { listen: 80 } }');
    await expect.poll(workers).toEqual([1, 2]);
    expect(ports()).toEqual([8081, 8081]);
  });

  it('does not win over a flag', async () => {
    writeFileSync(path, FILE);
    openAt(path, { service: ['web=85'] });
    await setOverlay('upriver/config', 'services: { web: { listen: 81, balance: p2c } }');
    expect(ports()).toEqual([85]);
    expect(applied.at(-1)!.settings.services[0]!.balance.policy).toBe('p2c');
  });
});

describe('a large configuration', () => {
  const services = (count: number, more = '') =>
    `services:\n${Array.from({ length: count }, (_, i) => `  s${i}: { listen: ${10_000 + i}${more} }\n`).join('')}`;

  it('is read beside the main thread, the latest last', async () => {
    open(FILE);
    source.setOverlay('upriver/config', services(600));
    source.setOverlay('upriver/config', services(300));
    expect(applied).toEqual([]);
    await expect.poll(() => applied.at(-1)?.settings.services.length).toBe(301);
    await setOverlay('upriver/config', null);
    expect(ports().at(-1)).toBe(80);
    expect(applied.at(-1)!.settings.services).toHaveLength(1);
  });

  it('with a problem is refused with its place', async () => {
    open(FILE);
    await setOverlay('upriver/config', services(300, ', balance: none'));
    await expect.poll(() => errors.length).toBe(101);
    expect(errors[0]).toContain('kv upriver/config:2:');
    expect(errors.at(-1)).toContain('more than 100 problems');
    expect(applied).toEqual([]);
  });
});

describe('a file that is none', () => {
  it.each(['/dev/zero', '/dev/null', '/proc'])('%s is refused at once', (file) => {
    openAt(file);
    const { settings, problems } = source.loadFirst();
    expect(settings).toBeNull();
    expect(problems[0]!.message).toContain('expected a regular file');
  });

  it('that takes the place of a good one leaves the running configuration', async () => {
    open('workers: 1');
    unlinkSync(path);
    execFileSync('mkfifo', [path]);
    await expect.poll(() => source.status.error).toContain('is a FIFO: expected a regular file');
    unlinkSync(path);
    writeFileSync(path, '');
    truncateSync(path, 2 ** 40);
    await expect.poll(() => source.status.error).toContain('is larger than 4MiB');
    expect(applied).toEqual([]);
  });
});
