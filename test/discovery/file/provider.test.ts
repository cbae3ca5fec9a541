// Target groups in real files: replaced, broken, removed.
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Files, nodeFiles } from '../../../src/discovery/file/door.ts';
import { FileProvider } from '../../../src/discovery/file/provider.ts';
import { nodeDoors } from '../../../src/doors.ts';
import { plainSource } from '../../../src/model/source.ts';
import { ManualClock } from '../../support/clock.ts';
import { keepingLogger, Receiver, untilTrue } from '../../support/discovery.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const group = (...targets: string[]) => [{ targets }];

async function start(files: Record<string, string>, paths: string[], follow: string[]) {
  const dir = mkdtempSync(join(tmpdir(), 'upriver-files-'));
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }));
  const write = (name: string, text: unknown) => {
    // As those write it who know that it is read.
    writeFileSync(join(dir, '.new'), typeof text === 'string' ? text : JSON.stringify(text));
    renameSync(join(dir, '.new'), join(dir, name));
  };
  for (const [name, text] of Object.entries(files)) write(name, text);
  const { log, lines } = keepingLogger();
  const { clock, resolve } = nodeDoors;
  const settings = {
    ...{ paths: paths.map((path) => join(dir, path)), tagPrefix: 'upriver' },
    ...{ listenAllow: [], endpointDeny: [] },
  };
  const provider = new FileProvider({ settings, clock, log, files: nodeFiles, resolve });
  cleanups.push(() => provider.stop());
  const receiver = new Receiver();
  provider.follow(follow.map((service) => plainSource('file', service)));
  provider.start(receiver.take);
  const ids = (service: string) => receiver.ids(service).join();
  const synced = () =>
    untilTrue(
      () => provider.status().isSynced,
      () => JSON.stringify(provider.status()),
    );
  return { dir, write, provider, receiver, lines, ids, synced };
}

describe('files with target groups', () => {
  it('are read again when they are replaced, JSON and YAML', async () => {
    const { write, receiver, ids, synced } = await start(
      { 'web.json': JSON.stringify(group('10.0.0.1:80')), 'b.yaml': "- targets: ['10.0.0.9:1']" },
      ['web.json', 'b.yaml'],
      ['web', 'b'],
    );
    await synced();
    expect([ids('web'), ids('b')]).toEqual(['10.0.0.1:80', '10.0.0.9:1']);
    write('web.json', group('10.0.0.1:80', '10.0.0.2:80'));
    await receiver.until(() => ids('web') === '10.0.0.1:80,10.0.0.2:80', 'a target more');
    write('b.yaml', "- targets: ['10.0.0.8:1']\n  labels: { service: web }");
    await receiver.until(() => ids('b') === '' && ids('web').includes('10.0.0.8:1'), 'moved');
    expect(receiver.last('web')!.cause.text).toMatch(/^file: .*b\.yaml read$/);
  });

  it('that are wrong, or away, leave what they said', async () => {
    const { dir, write, provider, receiver, ids, synced, lines } = await start(
      { 'web.json': JSON.stringify(group('10.0.0.1:80')) },
      ['web.json'],
      ['web'],
    );
    await synced();
    write('web.json', '[{"targets": ["10.');
    const failing = () =>
      untilTrue(
        () => provider.status().lastError !== '',
        () => 'no error',
      );
    await failing();
    expect(provider.status().lastError).toMatch(/web\.json: .*JSON/);
    write('web.json', '{}');
    await untilTrue(
      () => provider.status().lastError.includes('expected a list of maps'),
      () => provider.status().lastError,
    );
    rmSync(join(dir, 'web.json'));
    await untilTrue(
      () => provider.status().lastError.includes('ENOENT'),
      () => provider.status().lastError,
    );
    mkdirSync(join(dir, 'web.json'));
    await untilTrue(
      () => provider.status().lastError.includes('is a directory'),
      () => provider.status().lastError,
    );
    rmSync(join(dir, 'web.json'), { recursive: true });
    expect(ids('web')).toBe('10.0.0.1:80');
    expect(receiver.all).toHaveLength(1);
    expect(lines.filter(({ level }) => level === 'warn')).not.toHaveLength(0);
    write('web.json', group('10.0.0.2:80'));
    await receiver.until(() => ids('web') === '10.0.0.2:80', 'good again');
    expect(provider.status().lastError).toBe('');
  });

  it('of a pattern come and go', async () => {
    const { dir, write, receiver, ids, synced } = await start(
      { 'web.json': JSON.stringify(group('10.0.0.1:80')), '.hidden.json': '[]' },
      ['*.json'],
      ['web', 'api'],
    );
    await synced();
    write('api.json', group('10.0.0.3:80'));
    await receiver.until(() => ids('api') === '10.0.0.3:80', 'a file more');
    rmSync(join(dir, 'web.json'));
    await receiver.until(() => ids('web') === '', 'a file less');
    expect(receiver.last('web')!.service.doubt).toBe('');
    expect(ids('api')).toBe('10.0.0.3:80');
  });

  it('are waited for where they are not there yet', async () => {
    const { write, provider, receiver, ids } = await start({}, ['web.yml'], ['web']);
    await untilTrue(
      () => provider.status().errors > 0,
      () => 'no error',
    );
    expect(provider.status().isSynced).toBe(false);
    expect(receiver.all).toEqual([]);
    write('web.yml', "[{ targets: ['10.0.0.1:80'] }]");
    await receiver.until(() => ids('web') === '10.0.0.1:80', 'the file');
    expect(provider.status().isSynced).toBe(true);
  });

  it('have services served that say where, and end that when they don’t', async () => {
    const groups = (listen: object) => [
      { targets: ['10.0.0.1:80'], labels: { service: 'shop', ...listen } },
    ];
    const { write, receiver, synced } = await start(
      { 'all.json': JSON.stringify(groups({ 'upriver.listen': '8000' })) },
      ['all.json'],
      [],
    );
    await synced();
    expect(receiver.last('shop')!.service.settings).toEqual({ listen: '8000' });
    write('all.json', groups({}));
    await receiver.until(() => receiver.last('shop') === null, 'served no more');
  });

  it('are read in time though something beside them changes without a pause', async () => {
    const clock = new ManualClock();
    let change = (): void => {};
    let reads = 0;
    const files: Files = {
      list: async (path) => [path],
      readYaml: async () => ({ problem: 'none here' }),
      read: async () => {
        reads += 1;
        return Buffer.from(JSON.stringify(group(`10.0.0.${reads}:80`)));
      },
      watch: (_, onChange) => {
        change = onChange;
        return { close() {} };
      },
    };
    const settings = {
      paths: ['web.json'],
      tagPrefix: 'upriver',
      listenAllow: [],
      endpointDeny: [],
    };
    const { log } = keepingLogger();
    const { resolve } = nodeDoors;
    const provider = new FileProvider({ settings, clock, log, files, resolve });
    cleanups.push(() => provider.stop());
    provider.start(() => {});
    for (let i = 0; i < 200; i += 1) {
      clock.advance(10);
      change();
      // What is read is taken in this turn.
      await new Promise((done) => setImmediate(done));
    }
    // At once, and then after half a second each.
    expect(reads).toBe(4);
  });

  it('are read again as soon from a slow disk: it is the thread that has to rest', async () => {
    const clock = new ManualClock();
    let change = (): void => {};
    let reads = 0;
    const isRead = Array.from({ length: 3 }, () => Promise.withResolvers<void>());
    const files: Files = {
      list: async (path) => [path],
      readYaml: async () => ({ problem: 'none here' }),
      read: async () => {
        reads += 1;
        await isRead[reads - 1]!.promise;
        return Buffer.from(JSON.stringify(group(`10.0.0.${reads}:80`)));
      },
      watch: (_, onChange) => {
        change = onChange;
        return { close() {} };
      },
    };
    const settings = {
      ...{ paths: ['web.json'], tagPrefix: 'upriver' },
      ...{ listenAllow: [], endpointDeny: [] },
    };
    const { log } = keepingLogger();
    const { resolve } = nodeDoors;
    const provider = new FileProvider({ settings, clock, log, files, resolve });
    cleanups.push(() => provider.stop());
    const receiver = new Receiver();
    provider.follow([plainSource('file', 'web')]);
    provider.start(receiver.take);
    for (const [i, { resolve: goOn }] of isRead.entries()) {
      let restMs = 0;
      for (; reads === i; restMs += 50) {
        clock.advance(50);
        await new Promise((done) => setImmediate(done));
      }
      expect(restMs).toBeLessThan(500);
      clock.advance(1000);
      goOn();
      const isTaken = () => receiver.ids('web').join() === `10.0.0.${i + 1}:80`;
      await receiver.until(isTaken, 'what was read');
      await new Promise((done) => setImmediate(done));
      change();
    }
  });
});
