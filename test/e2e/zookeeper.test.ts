// The provider of ZooKeeper on real members: what registers, changes and dies, and what members do.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Update } from '../../src/discovery/provider.ts';
import { startGate } from '../support/gate.ts';
import { makeCertificates } from '../support/registry-certificates.ts';
import { startZookeeper, type ZookeeperMember, zookeeper } from '../support/zookeeper.ts';
import {
  zookeeperSource as sourceOf,
  startZookeeperProvider,
} from '../support/zookeeper-provider.ts';
import { openWriter, type ZookeeperWriter } from '../support/zookeeper-writer.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** As nerve writes it. */
const nerve = (port: number, more: object = {}) =>
  JSON.stringify({ host: '10.0.0.1', port, name: `i${port}`, ...more });

const sizeOf = (update: Update) => (update.kind === 'upsert' ? update.service.endpoints.length : 0);

describe.skipIf(zookeeper === null)('one member', () => {
  let member: ZookeeperMember;
  beforeAll(async () => {
    member = await startZookeeper();
  });
  afterAll(() => member.stop());

  async function writer(options: Parameters<typeof openWriter>[1] = {}): Promise<ZookeeperWriter> {
    const opened = await openWriter(member.port, options);
    cleanups.push(() => opened.close());
    return opened;
  }

  async function start(...[ports, options]: Parameters<typeof startZookeeperProvider>) {
    const started = await startZookeeperProvider(ports, options);
    cleanups.push(() => started.provider.stop());
    return started;
  }

  const register = (by: ZookeeperWriter, service: string, port: number, more: object = {}) =>
    by.create(`/services/${service}/i${port}_`, nerve(port, more), {
      ...{ isEphemeral: true, isSequential: true },
    });

  it('is read whole, and followed by watches', async () => {
    const registrar = await writer();
    await register(registrar, 'a-web', 8001);
    const { receiver, has, provider } = await start([member.port], { follow: ['a-web', 'a-none'] });
    expect(receiver.ids('a-web')).toEqual(['10.0.0.1:8001']);
    expect(receiver.last('a-none')?.service).toMatchObject({ endpoints: [], doubt: '' });
    const second = await register(registrar, 'a-web', 8002);
    await has('a-web', '10.0.0.1:8001', '10.0.0.1:8002');
    // The weight is data of a znode that is there already.
    await registrar.set(second, nerve(8002, { weight: 5 }));
    await receiver.until(() => receiver.endpoints('a-web')[1]?.weight === 5, 'the weight');
    await registrar.delete(second);
    await has('a-web', '10.0.0.1:8001');
    expect(receiver.last('a-web')?.service.doubt).toBe('');
    expect(provider.status()).toMatchObject({ errors: 0, lastError: '', isSynced: true });
    // A folder that was not there, at the start of the session.
    await register(registrar, 'a-none', 8003);
    await has('a-none', '10.0.0.1:8003');
  });

  it('reads services of the configuration alone where nothing describes itself', async () => {
    const registrar = await writer();
    await register(registrar, 'b-web/services', 8001, { labels: { 'upriver.listen': '9000' } });
    await register(registrar, 'b-other', 8002);
    const options = { follow: ['b-web/services', 'b-later'], selfDescribed: false };
    const { provider, receiver, has } = await start([member.port], options);
    expect(receiver.last('b-web/services')?.service).toMatchObject({
      ...{ endpoints: [{ id: '10.0.0.1:8001' }], settings: null },
    });
    expect(provider.status().watches).toBeLessThan(5);
    await register(registrar, 'b-later', 8003);
    await has('b-later', '10.0.0.1:8003');
    // Another service, while it runs: not told of before it was read.
    provider.follow([...options.follow, 'b-other'].map((service) => sourceOf(service)));
    await has('b-other', '10.0.0.1:8002');
    expect(receiver.about('b-other')).toHaveLength(1);
    expect(receiver.about('b-web/services')).toHaveLength(1);
  });

  it('has instances go with the session of a registrant that dies', async () => {
    const [living, dying] = [await writer(), await openWriter(member.port, { timeoutMs: 4000 })];
    await register(living, 'c-web', 8001);
    await register(dying, 'c-web', 8002);
    const { has, receiver } = await start([member.port], { follow: ['c-web'] });
    await has('c-web', '10.0.0.1:8001', '10.0.0.1:8002');
    dying.die();
    await has('c-web', '10.0.0.1:8001');
    expect(receiver.last('c-web')?.service.doubt).toBe('');
  });

  it('never shows a service empty whose instances are all replaced', async () => {
    const registrar = await writer();
    const at = (port: number) => `/services/d-web/${port}`;
    const create = (port: number) => registrar.create(at(port), nerve(port), { isEphemeral: true });
    const portsOf = (round: number) => Array.from({ length: 10 }, (_, i) => 9000 + round * 10 + i);
    await Promise.all(portsOf(0).map(create));
    const { has, receiver } = await start([member.port], { follow: ['d-web'] });
    for (let round = 1; round <= 20; round += 1) {
      // All at one go, and those that come first: the folder is never empty, but what a list names may be gone.
      const coming = portsOf(round).map(create);
      const going = portsOf(round - 1).map((port) => registrar.delete(at(port)));
      await Promise.all([...coming, ...going]);
    }
    await has('d-web', ...portsOf(20).map((port) => `10.0.0.1:${port}`));
    const sizes = receiver.about('d-web').map(({ update }) => sizeOf(update));
    expect(Math.min(...sizes)).toBeGreaterThan(0);
  });

  it('has services that describe themselves, and keeps their listeners for a while', async () => {
    const registrar = await writer();
    const labels = { 'upriver.listen': '9001', 'upriver.weight': '7', team: 'blue' };
    const path = await register(registrar, 'e-web', 8001, { labels });
    const { receiver, has } = await start([member.port]);
    expect(receiver.last('e-web')?.service).toMatchObject({
      endpoints: [{ weight: 7 }],
      settings: { listen: '9001' },
    });
    await registrar.delete(path);
    await has('e-web');
    expect(receiver.last('e-web')?.service.settings).toEqual({ listen: '9001' });
  });

  it('takes 1,000 instances, and their going', async () => {
    const registrar = await writer();
    const ports = Array.from({ length: 1000 }, (_, i) => 20_000 + i);
    await registrar.create('/services/f-web/x', '');
    await registrar.delete('/services/f-web/x');
    const { receiver } = await start([member.port], { follow: ['f-web'] });
    for (const port of ports) {
      await registrar.create(`/services/f-web/${port}`, nerve(port), { isEphemeral: true });
    }
    await receiver.until(() => receiver.endpoints('f-web').length === 1000, 'all of them');
    // Far fewer updates than changes: what comes while a list is read comes together.
    expect(receiver.about('f-web').length).toBeLessThan(900);
    const again = await start([member.port], { follow: ['f-web'] });
    expect(again.receiver.endpoints('f-web')).toHaveLength(1000);
    await registrar.close();
    await receiver.until(() => receiver.endpoints('f-web').length === 0, 'none');
  });

  it('is left and read anew when its session expires, and no service is emptied by that', async () => {
    const registrar = await writer();
    await register(registrar, 'g-web', 8001);
    const gate = await startGate(`tcp://127.0.0.1:${member.port}`);
    cleanups.push(() => gate.stop());
    const [port] = [Number(new URL(gate.url).port)];
    const { receiver, has, provider } = await start([port], {
      ...{ follow: ['g-web'], sessionTimeoutMs: 500 },
    });
    // Silent, so that the member gives the session up, and the provider the member.
    gate.hold();
    await expect.poll(() => provider.status().lastError).not.toBe('');
    await register(registrar, 'g-web', 8002);
    gate.release();
    await has('g-web', '10.0.0.1:8001', '10.0.0.1:8002');
    await expect.poll(() => provider.status().lastError).toBe('');
    const sizes = receiver.about('g-web').map(({ update }) => sizeOf(update));
    expect(sizes).toEqual([1, 2]);
  });

  it('may want a user, whose password is in a file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'upriver-zk-'));
    cleanups.push(() => rmSync(folder, { recursive: true }));
    const passwordFile = join(folder, 'password');
    writeFileSync(passwordFile, 'wrong\n');
    const owner = await writer({ digest: 'lb:secret' });
    await owner.create('/private/h-web/i1', nerve(8001));
    await owner.restrict('/private/h-web/i1');
    await owner.restrict('/private/h-web');
    await owner.restrict('/private');
    const options = { path: '/private', username: 'lb', passwordFile, isSynced: false };
    const { provider, has, lines } = await start([member.port], { follow: ['h-web'], ...options });
    await expect.poll(() => provider.status().lastError).toMatch(/NoAuth \(-102\) for \/private/);
    expect(provider.status().isSynced).toBe(false);
    writeFileSync(passwordFile, 'secret\n');
    await has('h-web', '10.0.0.1:8001');
    expect(JSON.stringify(lines)).not.toContain('secret');
  });

  it('may be reached by TLS, with a client certificate', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'upriver-zk-'));
    cleanups.push(() => rmSync(folder, { recursive: true }));
    makeCertificates(folder);
    const file = (name: string) => join(folder, name);
    const registrar = await writer();
    await register(registrar, 'k-web', 8001);
    const [key, cert, ca] = ['server.key', 'server.pem', 'ca.pem'].map((name) =>
      readFileSync(file(name)),
    );
    const options = { key: key!, cert: cert!, ca: ca!, requestCert: true };
    const front = createServer(options, (client) => {
      const plain = connect(member.port, '127.0.0.1');
      client.pipe(plain).pipe(client);
      client.on('error', () => plain.destroy());
      plain.on('error', () => client.destroy());
    });
    await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
    const { port } = front.address() as AddressInfo;
    cleanups.push(() => void front.close());
    const tls = {
      ...{ caFile: file('ca.pem'), certFile: '', keyFile: '', serverName: '', verify: true },
    };
    const strange = { ...tls, caFile: '' };
    const refused = await start([port], { follow: ['k-web'], tls: strange, isSynced: false });
    await expect.poll(() => refused.provider.status().lastError).toMatch(/certificate/);
    const anonymous = await start([port], { follow: ['k-web'], tls, isSynced: false });
    await expect.poll(() => anonymous.provider.status().lastError).not.toBe('');
    const known = { ...tls, certFile: file('client.pem'), keyFile: file('client.key') };
    const { receiver } = await start([port], { follow: ['k-web'], tls: known });
    expect(receiver.ids('k-web')).toEqual(['10.0.0.1:8001']);
    const missing = { ...tls, caFile: file('none.pem') };
    const lost = await start([port], { follow: ['k-web'], tls: missing, isSynced: false });
    await expect.poll(() => lost.provider.status().lastError).toMatch(/none\.pem/);
  });

  it('says which znode is wrong, and takes the others', async () => {
    const registrar = await writer();
    const at = (name: string) => `/services/i-web/${name}`;
    const ephemeral = { isEphemeral: true };
    await registrar.create(at('a'), '{"host": "10.0.0.1"}', ephemeral);
    await registrar.create(at('b'), 'what', ephemeral);
    await registrar.create(at('c'), '10.0.0.3:80', ephemeral);
    const { receiver } = await start([member.port], { follow: ['i-web'] });
    expect(receiver.last('i-web')?.service.problems).toEqual([
      expect.stringContaining('znode \'a\': \'{"host": "10.0.0.1"}\': port: expected a number'),
      "znode 'b': 'what': expected JSON with host and port, or HOST:PORT",
    ]);
    expect(receiver.ids('i-web')).toEqual(['10.0.0.3:80']);
  });

  it('is doubted when it answers with an older state', async () => {
    const own = await startZookeeper();
    cleanups.push(() => own.stop());
    const registrar = await openWriter(own.port);
    for (let i = 0; i < 5; i += 1) await register(registrar, 'j-web', 8001 + i);
    const { receiver, provider } = await start([own.port], { follow: ['j-web'] });
    registrar.die();
    await own.restart(true);
    await receiver.until(() => receiver.endpoints('j-web').length === 0, 'the empty one');
    expect(receiver.last('j-web')?.service).toMatchObject({ isLasting: true });
    expect(receiver.last('j-web')?.service.doubt).not.toBe('');
    await expect.poll(() => provider.status().lastError).toBe('');
  });
});
