// Files of others in the place of target groups: what never ends, what is none, what takes a parser half a
// minute. What was there stays, the error says why, and the thread never stands still.
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { nodeFiles } from '../../../src/discovery/file/door.ts';
import { FileProvider } from '../../../src/discovery/file/provider.ts';
import { yamlInThread } from '../../../src/discovery/file/yaml-thread.ts';
import { nodeDoors } from '../../../src/doors.ts';
import { BOUNDS } from '../../../src/model/bounds.ts';
import { plainSource } from '../../../src/model/source.ts';
import { keepingLogger, Receiver, untilTrue } from '../../support/discovery.ts';
import { watchTurns } from '../../support/turn-times.ts';

const TURN_MS_MAX = 100;
let dir: string;
let provider: FileProvider | null;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'upriver-files-'));
  provider = null;
});
afterEach(async () => {
  await provider?.stop();
  rmSync(dir, { recursive: true, force: true });
});

const at = (name: string) => join(dir, name);
const GOOD = '[{"targets":["10.0.0.1:80"]}]';

async function start(name: string, pattern = name): Promise<Receiver> {
  writeFileSync(at(name), GOOD);
  const settings = {
    ...{ paths: [at(pattern)], tagPrefix: 'upriver' },
    ...{ listenAllow: [], endpointDeny: [] },
  };
  const { clock, resolve } = nodeDoors;
  const { log } = keepingLogger();
  provider = new FileProvider({ settings, clock, log, files: nodeFiles, resolve });
  const receiver = new Receiver();
  provider.follow([plainSource('file', 'web')]);
  provider.start(receiver.take);
  await receiver.until(() => receiver.ids('web').join() === '10.0.0.1:80', 'the first target');
  return receiver;
}

const errorNow = () => provider!.status().lastError;

/** Puts something there, and resolves with the error that it gives. */
async function put(make: () => void): Promise<string> {
  const { errors } = provider!.status();
  make();
  await untilTrue(
    () => provider!.status().errors > errors,
    () => `no error: ${errorNow()}`,
  );
  return errorNow();
}

const replace = (name: string, text: string) => (): void => {
  writeFileSync(at('.new'), text);
  renameSync(at('.new'), at(name));
};

it('what is no regular file is not read, and what was there stays', async () => {
  const receiver = await start('web.json');
  const places: readonly (readonly [() => void, RegExp])[] = [
    [() => execFileSync('mkfifo', [at('x')]), /is a FIFO: expected a regular file/],
    [() => symlinkSync('/dev/zero', at('x')), /is a device/],
    [() => mkdirSync(at('x')), /is a directory/],
    [() => symlinkSync('web.json', at('x')), /ELOOP/],
    [() => symlinkSync(at('nowhere'), at('x')), /ENOENT/],
    [
      () => {
        writeFileSync(at('x'), '');
        truncateSync(at('x'), 2 ** 30);
      },
      /is larger than 8MiB/,
    ],
  ];
  for (const [make, expected] of places) {
    make();
    const error = await put(() => {
      rmSync(at('web.json'), { recursive: true });
      renameSync(at('x'), at('web.json'));
    });
    expect(error).toMatch(expected);
    expect(receiver.ids('web').join()).toBe('10.0.0.1:80');
  }
  rmSync(at('web.json'));
  replace('web.json', GOOD.replace('0.1', '0.2'))();
  await receiver.until(() => receiver.ids('web').join() === '10.0.0.2:80', 'good again');
});

const JSONS: Readonly<Record<string, () => string>> = {
  'nested without end': () => '['.repeat(4_000_000) + ']'.repeat(4_000_000),
  'nested in a group': () => `[{"targets":${'['.repeat(400_000)}${']'.repeat(400_000)}}]`,
  'many empty lists': () => `[${'[],'.repeat(2_600_000)}1]`,
  'many values in a group': () => `[{"targets":[${'[],'.repeat(340_000)}1]}]`,
  'many names': () => `[{${Array.from({ length: 600_000 }, (_, i) => `"k${i}":1`).join()}}]`,
  'one long text': () => `["${'x'.repeat(8_000_000)}"]`,
  'what is no list': () => `{"a":[${'1,'.repeat(3_000_000)}1]}`,
};
// Bounds: targetGroup
it.each(Object.keys(JSONS))('JSON of %s is refused in turns', async (name) => {
  const receiver = await start('web.json');
  const text = JSONS[name]!();
  writeFileSync(at('.new'), text);
  const turns = watchTurns();
  const error = await put(() => renameSync(at('.new'), at('web.json')));
  turns.stop();
  expect(error).toMatch(/more than is taken|expected a list|not JSON/);
  expect(turns.longest()).toBeLessThan(TURN_MS_MAX);
  expect(receiver.ids('web').join()).toBe('10.0.0.1:80');
});

const YAMLS: Readonly<Record<string, () => string>> = {
  'many tags': () => '! '.repeat(60_000),
  'many keys': () => Array.from({ length: 12_000 }, (_, i) => `k${i}: 1\n`).join(''),
  'lists in lists': () => '['.repeat(60_000),
  'maps as keys': () => '? '.repeat(600),
  aliases: () =>
    `a: &a [${'x,'.repeat(100)}]\nb: &b [${'*a,'.repeat(90)}]\nc: &c [${'*b,'.repeat(90)}]\nd: [${'*c,'.repeat(90)}]\n# ${'x'.repeat(5000)}`,
};
it.each(Object.keys(YAMLS))('YAML of %s holds up nothing', async (name) => {
  const receiver = await start('web.yml');
  writeFileSync(at('.new'), YAMLS[name]!());
  const turns = watchTurns();
  const error = await put(() => renameSync(at('.new'), at('web.yml')));
  turns.stop();
  expect(error).not.toBe('');
  expect(error.length).toBeLessThan(1000);
  expect(turns.longest()).toBeLessThan(TURN_MS_MAX);
  expect(receiver.ids('web').join()).toBe('10.0.0.1:80');
});

it('YAML that is larger than is read is refused, and what was there stays', async () => {
  const receiver = await start('web.yml');
  writeFileSync(at('.new'), `# ${'x'.repeat(BOUNDS.targetYaml.max)}\n[]`);
  expect(await put(() => renameSync(at('.new'), at('web.yml')))).toContain('256KiB');
  expect(receiver.ids('web').join()).toBe('10.0.0.1:80');
});

// Bounds: targetYamlTime
it('YAML is given up after its time', async () => {
  const answer = await yamlInThread('! '.repeat(120_000), 50);
  expect(answer).toEqual({ problem: 'not read within 50ms: write it as .json' });
  expect(await yamlInThread(`- a # ${'x'.repeat(9000)}`)).toEqual({ json: '["a"]' });
});

it('a folder has so many files, and no more', async () => {
  const receiver = await start('web.json', '*.json');
  const turns = watchTurns();
  for (let i = 0; i <= BOUNDS.targetFiles.max; i += 1) writeFileSync(at(`a${i}.json`), '[]');
  const error = await put(() => writeFileSync(at('last.json'), '[]'));
  turns.stop();
  expect(error).toContain('more files that a pattern fits than 1,000');
  expect(receiver.ids('web').join()).toBe('10.0.0.1:80');
  unlinkSync(at('a0.json'));
  unlinkSync(at('a1.json'));
  unlinkSync(at('a2.json'));
  await untilTrue(() => errorNow() === '', errorNow);
  expect(receiver.ids('web').join()).toBe('10.0.0.1:80');
});

// Bounds: targetFilesSize, targetFile
it('files together have so many bytes, and no more', async () => {
  await start('web.json', '*.json');
  const text = `[]${' '.repeat(8 * 1024 ** 2 - 2)}`;
  const error = await put(() => {
    for (let i = 0; i < 8; i += 1) writeFileSync(at(`b${i}.json`), text);
  });
  expect(error).toContain('more than 64MiB with the other files');
});

it('a folder of a pattern has as many names as the bound says; with one more what was there stays', async () => {
  const { max } = BOUNDS.targetEntries;
  const receiver = await start('web.json', 'web*.json');
  const other = (i: number) => at(`other${i}`);
  for (let i = 1; i < max; i += 1) closeSync(openSync(other(i), 'wx'));
  const error = await put(() => writeFileSync(other(max), ''));
  expect(error).toMatch(/more names in the folder of a pattern than 100,000/);
  replace('web.json', GOOD.replace('0.1', '0.2'))();
  expect(receiver.ids('web').join()).toBe('10.0.0.1:80');
  unlinkSync(other(max));
  await receiver.until(() => receiver.ids('web').join() === '10.0.0.2:80', 'as many as may be');
}, 120_000);
