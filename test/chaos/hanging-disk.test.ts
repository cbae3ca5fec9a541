// A disk that stops answering (a network mount, a FUSE daemon that hangs) under the files that are read and written
// while the process serves. Must not suffer: any request, and the stats port. What can't be read is named, what is in
// use stays, and what changed meanwhile is in force some seconds after the disk answers again.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { isReading } from '../../src/base/timely-file.ts';
import { AcmeFolder } from '../../src/certificates/acme/folder.ts';
import { FolderLock } from '../../src/certificates/acme/lock.ts';
import { nodeDisk } from '../../src/state/disk.ts';
import { Authority } from '../support/certificates.ts';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { canHang, type HangingDisk, makeHangingDisk } from '../support/hanging-disk.ts';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

/** From the disk's answer on; the machine may be busy. */
const FOLLOWED_MS = 15_000;
const REQUESTS = 200;

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

let disk: HangingDisk;
let one: EndpointProcess;
let other: EndpointProcess;
let webPort: number;
let tlsPort: number;
let addedPort: number;

function touch(path: string): void {
  const seconds = Date.now() / 1000;
  utimesSync(path, seconds, seconds);
}

const put = (name: string, text: string): void => writeFileSync(join(disk.behind, name), text);
const targets = ({ port }: EndpointProcess): string =>
  JSON.stringify([{ targets: [`127.0.0.1:${port}`], labels: { service: 'web' } }]);

function putConfig(more = ''): void {
  put(
    'upriver.yaml',
    `tls: { certificates: [{ dir: "${disk.mounted}/certificates" }] }
registries: { file: { path: "${disk.mounted}/targets.json" } }
state: { file: "${disk.mounted}/state/state.json" }
static: { added: ["127.0.0.1:${one.port}"] }
services:
  web:
    listen: ["127.0.0.1:${webPort}", { address: "127.0.0.1:${tlsPort}", tls: true }]
    from: { registry: file }
${more}`,
  );
}

async function start(): Promise<UpriverProcess> {
  const upriver = await startUpriver({ args: ['--config', join(disk.mounted, 'upriver.yaml')] });
  endings.push(() => upriver.stop());
  return upriver;
}

/** What the listener shows now. */
function shown(): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: tlsPort, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate()!.fingerprint256);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

async function answerOf(port: number): Promise<string> {
  try {
    return await (await fetch(`http://127.0.0.1:${port}/`)).text();
  } catch (error) {
    return String(error);
  }
}

interface Status {
  readonly config: { readonly error: string };
  readonly problems: readonly string[];
  readonly registries: readonly { readonly name: string; readonly lastError: string }[];
}

async function statusOf({ statsUrl }: UpriverProcess): Promise<Status> {
  const response = await fetch(`${statsUrl}/api/v1/status`);
  return (await response.json()) as Status;
}

describe.skipIf(!canHang())('a disk that hangs', () => {
  beforeEach(async () => {
    disk = await makeHangingDisk();
    endings.push(() => disk.remove());
    [one, other] = [await startEndpoint('one'), await startEndpoint('other')];
    endings.push(() => Promise.all([one.kill(), other.kill()]));
    [webPort = 0, tlsPort = 0, addedPort = 0] = await freePorts(3);
    for (const folder of ['certificates', 'state']) mkdirSync(join(disk.behind, folder));
  });

  it('holds up nobody, is named, and is followed again when it answers', async () => {
    const authority = new Authority();
    endings.push(() => authority.remove());
    const [old, next] = [authority.issue(['a.test']), authority.issue(['a.test'])];
    const putCertificate = ({ certFile, keyFile }: typeof old): void => {
      copyFileSync(certFile, join(disk.behind, 'certificates/a.crt'));
      copyFileSync(keyFile, join(disk.behind, 'certificates/a.key'));
    };
    putCertificate(old);
    put('targets.json', targets(one));
    putConfig();
    const upriver = await start();
    expect(await answerOf(webPort)).toContain('one');
    const before = await shown();
    const state = join(disk.behind, 'state/state.json');
    await expect.poll(() => existsSync(state), { timeout: 30_000 }).toBe(true);

    // Both are about to be read again.
    for (const name of ['upriver.yaml', 'targets.json']) touch(join(disk.mounted, name));
    disk.hang();
    const load = startLoad({ url: `http://127.0.0.1:${webPort}/`, perSecond: 50, timeoutMs: 5000 });
    putCertificate(next);
    put('targets.json', targets(other));
    putConfig(`  added: { listen: "127.0.0.1:${addedPort}", from: { registry: static } }\n`);
    for (const name of ['upriver.yaml', 'targets.json', 'certificates']) {
      const isNamed = ({ msg, err }: { readonly msg: string; readonly err?: unknown }) =>
        `${msg} ${err}`.includes(name) && `${msg} ${err}`.includes('disk does not answer');
      await upriver.waitForLog(isNamed, `that ${name} can't be read`);
    }
    const status = await statusOf(upriver);
    expect(status.config.error).toContain('disk does not answer');
    expect((await fetch(`${upriver.statsUrl}/metrics`)).status).toBe(200);
    expect((await fetch(`${upriver.statsUrl}/healthz`)).status).toBe(200);
    await load.next(REQUESTS);
    expect(await answerOf(webPort)).toContain('one');
    expect(await shown()).toBe(before);

    disk.answer();
    const within = { timeout: FOLLOWED_MS };
    await expect.poll(() => answerOf(webPort), within).toContain('other');
    await expect.poll(() => answerOf(addedPort), within).toContain('one');
    await expect.poll(shown, within).not.toBe(before);
    await expect.poll(async () => (await statusOf(upriver)).config.error, within).toBe('');
    expect((await load.stop()).failures).toEqual([]);
  });

  it('under the folder of a certificate authority fails each step in time, and the next attempt goes on', async () => {
    const path = join(disk.mounted, 'acme');
    const folder = new AcmeFolder(path);
    const lock = new FolderLock(join(path, 'lock'), systemClock);
    const account = { url: '', key: 'key', terms: '' };
    await folder.prepare();
    disk.hang();
    const beganMs = performance.now();
    await expect(lock.take()).rejects.toThrow(
      'was not written within 5s: its disk does not answer',
    );
    // What comes after it takes no time.
    await expect(folder.prepare()).rejects.toThrow('its disk does not answer');
    await expect(folder.writeAccount(account)).rejects.toThrow('its disk does not answer');
    expect(performance.now() - beganMs).toBeGreaterThan(4900);
    expect(isReading()).toBe(true);
    disk.answer();
    await expect.poll(isReading, { timeout: FOLLOWED_MS }).toBe(false);
    await folder.prepare();
    // The lock that the disk made too late keeps nobody out.
    expect(await lock.take()).toBe(true);
    await folder.writeAccount(account);
    expect(await folder.readAccount()).toEqual(account);
    await lock.release();
    expect(readdirSync(join(disk.behind, 'acme')).sort()).toEqual(['account.json', 'challenges']);
  });

  it('under the state file fails each write in time, and loses no descriptor', async () => {
    const path = join(disk.mounted, 'state/state.json.new');
    const open = await nodeDisk.create(path);
    await open.write('one ');
    disk.hang();
    await expect(open.write('two')).rejects.toThrow('was not written within 5s');
    await expect(open.close()).rejects.toThrow('its disk does not answer');
    await expect(nodeDisk.create(path)).rejects.toThrow('its disk does not answer');
    await expect(nodeDisk.rename(path, `${path}.2`)).rejects.toThrow('its disk does not answer');
    disk.answer();
    await expect.poll(() => openFilesBelow(disk.mounted), { timeout: FOLLOWED_MS }).toEqual([]);
    const again = await nodeDisk.create(path);
    await again.write('three');
    await again.sync();
    await again.close();
    await nodeDisk.rename(path, `${path}.2`);
    expect(readFileSync(join(disk.behind, 'state/state.json.new.2'), 'utf8')).toBe('three');
  });
});

/** Files of this process that are open there. */
function openFilesBelow(folder: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(folder) ? [path] : [];
    } catch {
      // It was the folder's own.
      return [];
    }
  });
}
