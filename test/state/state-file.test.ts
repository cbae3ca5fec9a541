import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { declaredCheck } from '../../src/discovery/declared-check.ts';
import { nodeDisk } from '../../src/state/disk.ts';
import { StateFile } from '../../src/state/state-file.ts';
import { linesOf, parseState, type State } from '../../src/state/state-format.ts';
import { ManualClock } from '../support/clock.ts';
import { keepingLogger, source } from '../support/discovery.ts';

const endpoint = (id: string) => ({
  id,
  address: '10.0.0.1',
  port: 80,
  weight: 1,
  status: 'passing' as const,
  statusText: '',
});

const state: State = {
  writtenMs: 1_700_000_000_000,
  fingerprints: { consul: 'abc', static: 'd' },
  sources: [
    { source: source('web'), settings: null, endpoints: [endpoint('n/a'), endpoint('n/b')] },
    { source: source('own'), settings: { listen: '8000' }, endpoints: [], order: 7 },
  ],
  checks: [{ service: 'web', up: ['n/a'], down: ['n/b'] }],
};
const textOf = (one: State) => [...linesOf(one)].join('');

describe('the format', () => {
  const read = (text: string) => parseState(text, new ManualClock());

  it('gives back what was put in', async () => {
    expect(await read(textOf(state))).toEqual(state);
  });

  it('is read as the version before wrote it, when Consul was the only registry', async () => {
    const [head, ...lines] = textOf(state).split('\n');
    const old = { ...JSON.parse(head!), version: 1, fingerprint: 'abc', fingerprints: undefined };
    const text = [JSON.stringify(old), ...lines].join('\n');
    expect(await read(text)).toEqual({ ...state, fingerprints: { consul: 'abc' } });
  });

  it('keeps the checks that endpoints declare, and refuses odd ones', async () => {
    const { check } = declaredCheck({ check_http: '/up', check_interval: '5s' });
    const checked = { ...endpoint('n/a'), check: check! };
    const text = textOf({
      ...state,
      sources: [{ source: source('web'), settings: null, endpoints: [checked] }],
    });
    expect((await read(text)).sources[0]!.endpoints).toEqual([checked]);
    for (const [part, odd] of [
      ['"type":"http"', '"type":"no"'],
      ['"intervalMs":5000', '"intervalMs":0'],
      ['"path":"/up"', '"path":5'],
      ['"from":200', '"from":"x"'],
      ['"login":{', '"login":5,"x":{'],
    ] as const) {
      expect(text).toContain(part);
      await expect(read(text.replace(part, odd))).rejects.toThrow('line 2 is odd');
    }
  });

  it('gives a source the defaults of keys that came later', async () => {
    const text = textOf(state).replaceAll('"peer":"",', '').replaceAll('"partition":"",', '');
    expect(text).not.toContain('peer');
    expect(await read(text)).toEqual(state);
    const odd = textOf(state).replace('"peer":""', '"peer":1');
    await expect(read(odd)).rejects.toThrow('line 2 is odd');
  });

  it('is refused with a reason wherever the file was cut', async () => {
    const text = textOf(state);
    await fc.assert(
      fc.asyncProperty(fc.nat(text.length - 2), async (length) => {
        await expect(read(text.slice(0, length))).rejects.toThrow();
      }),
    );
  });

  it.each([
    ['', 'no state file'],
    ['{"some":"thing"}\n', 'no state file'],
    [textOf(state).replace('"version":2', '"version":9'), 'version 9; versions 1 and 2 are read'],
    [textOf(state).replace('"port":80', '"port":0'), 'line 2 is odd'],
    [textOf(state).replace('"order":7', '"order":"7"'), 'line 3 is odd'],
    [textOf(state).replace('"up"', '"op"'), 'line 4 is odd'],
    [textOf(state).replace('"lines":3', '"lines":4'), 'its end is missing'],
    [textOf(state).replace('"weight":1', '"weight":1e999'), 'line 2 is odd'],
    // Bounds: stateLines
    ['{}\n'.repeat(100_002), 'it has more than 100,000 lines'],
  ])('refuses one that says other things: %#', async (text, why) => {
    await expect(read(text)).rejects.toThrow(why);
  });
});

describe('the file', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'upriver-state-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function make(current: () => State | null = () => state) {
    const clock = new ManualClock();
    const { log, lines } = keepingLogger();
    const path = join(folder, 'state');
    const file = new StateFile({ path, clock, log, disk: nodeDisk, state: current });
    return { clock, lines, path, file };
  }

  it('is written once for many changes of a second, for its owner alone', async () => {
    let asked = 0;
    const { clock, path, file } = make(() => {
      asked += 1;
      return state;
    });
    for (let i = 0; i < 100; i += 1) file.touch();
    clock.advance(999);
    expect(asked).toBe(0);
    clock.advance(1);
    await expect.poll(() => existsSync(path)).toBe(true);
    expect(asked).toBe(1);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await file.read({ consul: 'abc', static: 'd' })).toEqual(state);
  });

  it('takes a change that came while it was written', async () => {
    let version = 1;
    const { clock, file, path } = make(() => ({
      ...state,
      fingerprints: { consul: `v${version}` },
    }));
    file.touch();
    clock.advance(1000);
    version = 2;
    file.touch();
    await expect
      .poll(() => {
        clock.advance(1000);
        return existsSync(path) && readFileSync(path, 'utf8').includes('"v2"');
      })
      .toBe(true);
  });

  it('is written when it is closed, and not where there is nothing to write', async () => {
    const { file, path } = make();
    await file.close();
    expect(await parseState(readFileSync(path, 'utf8'), new ManualClock())).toEqual(state);
    rmSync(path);
    const { file: empty } = make(() => null);
    await empty.close();
    expect(existsSync(path)).toBe(false);
  });

  it('never takes the place of what is no file: a device is shared by the whole machine', async () => {
    const { clock, file, path } = make();
    execFileSync('mkfifo', [path]);
    file.touch();
    clock.advance(1000);
    await expect.poll(() => file.error).toBe(`${path} is a FIFO: expected a regular file`);
    expect(statSync(path).isFIFO()).toBe(true);
    await expect.poll(() => readdirSync(folder)).toEqual(['state']);
  });

  it('that can not be written is said once, tried again, and said when it works', async () => {
    const { clock, file, path, lines } = make();
    // A folder in its place: renaming onto it fails, whoever runs this.
    mkdirSync(path);
    file.touch();
    for (let i = 0; i < 3; i += 1) {
      clock.advance(1000);
      await expect.poll(() => file.error).not.toBe('');
    }
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
    // The last try may be at it still; none leaves anything behind.
    await expect.poll(() => readdirSync(folder)).toEqual(['state']);
    rmdirSync(path);
    await expect
      .poll(() => {
        clock.advance(1000);
        return file.error;
      })
      .toBe('');
    expect(lines.at(-1)!.message).toBe('the state file is written again');
  });

  it('of another configuration, or broken, is said and ignored; one that is not there is fine', async () => {
    const { file, path, lines } = make();
    expect(await file.read({ consul: 'abc', static: 'd' })).toBeNull();
    expect(lines).toEqual([]);
    writeFileSync(path, textOf(state));
    expect(await file.read({ consul: 'other', static: 'd' })).toBeNull();
    writeFileSync(path, 'nonsense');
    expect(await file.read({ consul: 'abc', static: 'd' })).toBeNull();
    expect(lines.map(({ message }) => message)).toEqual([
      'the state file is ignored: it is of another configuration',
      'the state file is ignored: line 1 is no JSON object',
    ]);
  });

  // Bounds: stateFile
  it('that is none, or is larger than any, is said and ignored', async () => {
    const { file, path, lines } = make();
    execFileSync('mkfifo', [path]);
    expect(await file.read({ consul: 'abc', static: 'd' })).toBeNull();
    rmSync(path);
    writeFileSync(path, '');
    truncateSync(path, 2 ** 40);
    expect(await file.read({ consul: 'abc', static: 'd' })).toBeNull();
    expect(lines.map(({ message }) => message)).toEqual([
      `the state file is ignored: ${path} is a FIFO: expected a regular file`,
      `the state file is ignored: ${path} is larger than 128MiB`,
    ]);
  });

  it('gives what it holds of the registries that are configured as they were', async () => {
    const fixed = { source: { ...source('web'), registry: 'etcd' }, settings: null, endpoints: [] };
    const both = {
      ...state,
      sources: [...state.sources, fixed],
      fingerprints: { consul: 'abc', etcd: 'e' },
    };
    const { file, lines } = make(() => both);
    file.touch();
    await file.close();
    expect(await file.read({ consul: 'abc', etcd: 'e' })).toEqual(both);
    expect(lines).toEqual([]);
    expect((await file.read({ consul: 'other', etcd: 'e' }))?.sources).toEqual([fixed]);
    expect((await file.read({ consul: 'abc' }))?.sources).toEqual(state.sources);
    expect(lines.map(({ fields }) => fields.registries)).toEqual([['consul'], ['etcd']]);
    expect(await file.read({})).toBeNull();
  });
});

describe('the file, in a folder that others may write', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'upriver-state-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const asked = () =>
    new StateFile({
      path: join(folder, 'state'),
      ...{ clock: new ManualClock(), log: keepingLogger().log, disk: nodeDisk },
      state: () => state,
    });

  it('is written through no link and into no file of theirs', async () => {
    const victim = join(folder, 'victim');
    writeFileSync(victim, 'precious');
    const beside = join(folder, `state.${process.pid}.new`);
    symlinkSync(victim, beside);
    await asked().close();
    expect(readFileSync(victim, 'utf8')).toBe('precious');
    expect(lstatSync(join(folder, 'state')).isFile()).toBe(true);
    // Nobody reads a FIFO: opening it would wait for ever.
    execFileSync('mkfifo', [beside]);
    await asked().close();
    writeFileSync(beside, '', { mode: 0o666 });
    await asked().close();
    expect(statSync(join(folder, 'state')).mode & 0o777).toBe(0o600);
  });

  it('is for its owner alone, whatever the umask is', async () => {
    const before = process.umask(0);
    try {
      await asked().close();
    } finally {
      process.umask(before);
    }
    expect(statSync(join(folder, 'state')).mode & 0o777).toBe(0o600);
  });

  it('is ignored where everyone may have written it', async () => {
    writeFileSync(join(folder, 'state'), textOf(state));
    const file = asked();
    expect(await file.read(state.fingerprints)).not.toBeNull();
    chmodSync(join(folder, 'state'), 0o666);
    expect(await file.read(state.fingerprints)).toBeNull();
  });

  it.skipIf(process.getuid?.() !== 0)('is ignored where another user made it', async () => {
    const path = join(folder, 'state');
    writeFileSync(path, textOf(state));
    chownSync(path, 1234, 1234);
    expect(await asked().read(state.fingerprints)).not.toBeNull();
    chmodSync(folder, 0o1777);
    expect(await asked().read(state.fingerprints)).toBeNull();
  });
});
