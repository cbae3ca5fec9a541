// The etcd provider on real members of etcd: both APIs, and what goes wrong with each.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type EtcdMember, etcd34, etcd35, startEtcd, startSecureEtcd } from '../support/etcd.ts';
import { type StartedEtcd, startProvider } from '../support/etcd-provider.ts';
import { fastClock } from '../support/fast-clock.ts';
import { startGate } from '../support/gate.ts';

const ROOT = { username: 'root', password: 'secret' };

let started: StartedEtcd | null = null;

afterEach(async () => {
  await started?.provider.stop();
  started = null;
});

describe.skipIf(etcd34 === '')('by v2', () => {
  let etcd: EtcdMember;
  beforeAll(async () => {
    etcd = await startEtcd();
  });
  afterAll(() => etcd.stop());
  afterEach(() => etcd.v2.delete('/backends', 'recursive=true').catch(() => {}));

  it('follows keys that come, change, expire and go', async () => {
    const { v2 } = etcd;
    started = await startProvider(etcd.url, { api: 'v2', follow: ['web'] });
    const { receiver, addresses, port } = started;
    expect(receiver.last('web')?.service).toMatchObject({ endpoints: [], doubt: '' });
    await v2.set('/backends/web/a', '10.0.0.1:8001', { ttl: '60' });
    await receiver.until(() => addresses('web').length === 1, 'the first');
    await v2.set('/backends/web/b', '10.0.0.1:8002', { ttl: '60' });
    await v2.set('/backends/web/port', '8000');
    await receiver.until(() => port('web') === '8000', 'the port');
    expect(addresses('web')).toEqual(['10.0.0.1:8001', '10.0.0.1:8002']);
    await v2.set('/backends/web/b', '10.0.0.1:8002', { ttl: '1' });
    await receiver.until(() => addresses('web').length === 1, 'the expiry');
    await v2.set('/backends/web/a', '10.0.0.2:9001');
    await receiver.until(() => addresses('web')[0] === '10.0.0.2:9001', 'the other address');
    await v2.delete('/backends/web', 'recursive=true');
    await receiver.until(() => addresses('web').length === 0, 'the deletion');
    expect(receiver.last('web')?.service.doubt).toBe('');
  });

  it('costs nothing for keys that are written again as they are', async () => {
    const { v2 } = etcd;
    await v2.set('/backends/web/a', '10.0.0.1:8001', { ttl: '60' });
    started = await startProvider(etcd.url, { api: 'v2', follow: ['web'] });
    const { receiver, addresses } = started;
    for (let i = 0; i < 5; i += 1) {
      await v2.set('/backends/web/a', '10.0.0.1:8001', { ttl: '60' });
    }
    await v2.set('/backends/web/b', '10.0.0.1:8002');
    await receiver.until(() => addresses('web').length === 2, 'the other');
    expect(receiver.about('web')).toHaveLength(2);
  });

  it('lists anew when more happened than the history holds', async () => {
    const { v2 } = etcd;
    await v2.set('/backends/web/a', '10.0.0.1:8001');
    const gate = await startGate(etcd.url);
    started = await startProvider(gate.url, { api: 'v2', follow: ['web'] });
    const { receiver, lines } = started;
    // Events wait in the gate: the first answers the wait, and by the next one the history is over.
    gate.hold();
    await v2.set('/backends/web/b', '10.0.0.1:8002');
    await Promise.all(
      Array.from({ length: 10 }, async (_, worker) => {
        for (let i = 0; i < 110; i += 1) await v2.set(`/other/${worker}`, String(i));
      }),
    );
    await v2.delete('/backends/web/a');
    gate.release();
    await receiver.until(() => receiver.ids('web').join() === 'b', 'b alone');
    // No failure, and no outage: error 401 is what the history is like.
    expect(started.provider.status()).toMatchObject({ errors: 0, lastError: '' });
    expect(lines.filter(({ level }) => level !== 'debug')).toEqual([]);
    expect(receiver.last('web')!.service.doubt).toBe('');
    await gate.stop();
  });

  it('doubts what expired while etcd was away', async () => {
    const { v2 } = etcd;
    const write = async (ids: readonly string[], ttl: string) => {
      for (const id of ids) await v2.set(`/backends/web/${id}`, '10.0.0.1:8001', { ttl });
    };
    await write(['a', 'b', 'c'], '60');
    started = await startProvider(etcd.url, { api: 'v2', follow: ['web'] });
    const { receiver } = started;
    expect(receiver.ids('web')).toEqual(['a', 'b', 'c']);
    // What is written again as it is makes no update; it lapses while no registrar can renew it.
    await write(['a', 'b', 'c'], '2');
    await etcd.kill();
    await new Promise((resolve) => setTimeout(resolve, 2500));
    await etcd.restart();
    // Until the next try of the provider, however late.
    await write(['a'], '60');
    await receiver.until(() => receiver.ids('web').join() === 'a', 'the one that is back');
    // A restarted member is elected again: which doubt is reported depends on when that is seen.
    expect(receiver.last('web')!.service.doubt).toMatch(
      /after an outage|every key is gone|written again|another leader/,
    );
    await write(['b'], '60');
    await receiver.until(() => receiver.ids('web').join() === 'a,b', 'the next');
  });

  it('authenticates by name and password', async () => {
    const secure = await startEtcd({ auth: ROOT });
    try {
      await secure.v2.set('/backends/web/a', '10.0.0.1:8001');
      await secure.v2.call('PUT', '/v2/auth/users/root', { user: 'root', password: ROOT.password });
      await secure.v2
        .call('PUT', '/v2/auth/roles/guest', {
          ...{ role: 'guest', revoke: { kv: { read: ['/*', '*'], write: ['/*', '*'] } } },
        })
        .catch(() => {});
      await secure.v2.call('PUT', '/v2/auth/enable', {});
      await secure.v2
        .call('PUT', '/v2/auth/roles/guest', {
          ...{ role: 'guest', revoke: { kv: { read: ['/*', '*'], write: ['/*', '*'] } } },
        })
        .catch(() => {});
      const refused = await startProvider(secure.url, {
        api: 'v2',
        follow: ['web'],
        isSynced: false,
      });
      await refused.receiver.until(() => true, 'nothing');
      await expect
        .poll(() => refused.provider.status().lastError)
        .toMatch(/Insufficient credentials|auth/i);
      await refused.provider.stop();
      started = await startProvider(secure.url, { api: 'v2', follow: ['web'], ...ROOT });
      expect(started.receiver.ids('web')).toEqual(['a']);
    } finally {
      await secure.stop();
    }
  });
});

describe.each([
  ['3.4', etcd34],
  ['3.5', etcd35],
])('by v3 of etcd %s', (_, bin) => {
  describe.skipIf(bin === '')('it', () => {
    let etcd: EtcdMember;
    beforeAll(async () => {
      etcd = await startEtcd({ bin });
    });
    afterAll(() => etcd.stop());

    it('follows keys that come, change, lapse with their lease and go', async () => {
      const { v3 } = etcd;
      const options = { clock: fastClock(10) };
      started = await startProvider(etcd.url, { api: 'v3', follow: ['web'], options });
      const { receiver, addresses, port } = started;
      const lease = await v3.grant(60);
      await v3.put('/backends/web/a', '10.0.0.1:8001', lease);
      await receiver.until(() => addresses('web').length === 1, 'the first');
      await v3.put('/backends/web/b', '[fd00::1]:8002');
      await v3.put('/backends/web/port', '8000');
      await receiver.until(() => port('web') === '8000', 'the port');
      expect(addresses('web')).toEqual(['10.0.0.1:8001', 'fd00::1:8002']);
      await v3.revoke(lease);
      await receiver.until(() => addresses('web').length === 1, 'the lapse');
      await v3.delete('/backends/web/b');
      await v3.delete('/backends/web/port');
      await receiver.until(() => addresses('web').length === 0, 'the deletion');
      await receiver.until(() => port('web') === '', 'the port that is gone');
    });

    it('lists anew when what came since has been compacted', async () => {
      const { v3 } = etcd;
      await v3.put('/backends/web/a', '10.0.0.1:8001');
      const gate = await startGate(etcd.url);
      started = await startProvider(gate.url, { api: 'v3', follow: ['web'] });
      const { receiver } = started;
      await gate.cut();
      for (const id of ['b', 'c']) await v3.put(`/backends/web/${id}`, '10.0.0.1:8002');
      await v3.delete('/backends/web/a');
      await v3.compact(await v3.revision());
      expect(receiver.ids('web')).toEqual(['a']);
      await gate.mend();
      await receiver.until(() => receiver.ids('web').join() === 'b,c', 'b and c');
      // One list, and nothing in between.
      expect(receiver.about('web')).toHaveLength(2);
      for (const id of ['b', 'c']) await v3.delete(`/backends/web/${id}`);
      await gate.stop();
    });

    it('misses nothing of what came while it was cut off, and takes nothing twice', async () => {
      const { v3 } = etcd;
      for (const id of ['a', 'b']) await v3.put(`/backends/web/${id}`, '10.0.0.1:8001');
      const gate = await startGate(etcd.url);
      started = await startProvider(gate.url, { api: 'v3', follow: ['web'] });
      const { receiver, provider } = started;
      await gate.cut();
      await v3.delete('/backends/web/a');
      await v3.put('/backends/web/c', '10.0.0.1:8003');
      await expect.poll(() => provider.status().errors).toBeGreaterThan(0);
      await gate.mend();
      await receiver.until(() => receiver.ids('web').join() === 'b,c', 'b and c');
      await v3.put('/backends/web/d', '10.0.0.1:8004');
      await receiver.until(() => receiver.ids('web').join() === 'b,c,d', 'd');
      const told = receiver.about('web').map(({ update }) => update.cause.text);
      const revisions = told.flatMap((text) => /-> (\d+)$/.exec(text)?.[1] ?? []);
      expect(new Set(revisions).size).toBe(revisions.length);
      for (const id of ['b', 'c', 'd']) await v3.delete(`/backends/web/${id}`);
      await gate.stop();
    });

    it('holds what is missing when it comes back empty', async () => {
      const { v3 } = etcd;
      for (const id of ['a', 'b']) await v3.put(`/backends/web/${id}`, '10.0.0.1:8001');
      started = await startProvider(etcd.url, { api: 'v3', follow: ['web'] });
      const { receiver } = started;
      expect(receiver.ids('web')).toEqual(['a', 'b']);
      await etcd.restart(true);
      await receiver.until(() => receiver.ids('web').length === 0, 'the empty list');
      const last = receiver.last('web')!.service;
      expect(last.doubt).toMatch(/every key is gone|went backwards|another cluster/);
      expect(last.isLasting).toBe(true);
      await v3.put('/backends/web/a', '10.0.0.1:8001');
      await receiver.until(() => receiver.ids('web').join() === 'a', 'the first that is back');
      expect(receiver.last('web')!.service.doubt).not.toBe('');
      await v3.delete('/backends/web/a');
    });
  });
});

describe.skipIf(etcd34 === '')('by v3', () => {
  it('finds out a member that is frozen, and goes on where it thaws', async () => {
    const etcd = await startEtcd();
    const { v3 } = etcd;
    const clock = fastClock(10);
    started = await startProvider(etcd.url, { api: 'v3', follow: ['web'], options: { clock } });
    const { receiver, provider } = started;
    etcd.freeze();
    await expect.poll(() => provider.status().lastError).toContain('no answer within 5000 ms');
    etcd.thaw();
    await v3.put('/backends/web/a', '10.0.0.1:8001');
    await receiver.until(() => receiver.ids('web').join() === 'a', 'the key');
    await expect.poll(() => provider.status().lastError).toBe('');
    await etcd.stop();
  });

  it('authenticates, also when its token has expired and when the password changes', async () => {
    const secure = await startEtcd({ args: ['--auth-token-ttl', '2'] });
    const folder = mkdtempSync(join(tmpdir(), 'upriver-etcd-password-'));
    const passwordFile = join(folder, 'password');
    writeFileSync(passwordFile, `${ROOT.password}\n`);
    try {
      const { v3 } = secure;
      await v3.put('/backends/web/a', '10.0.0.1:8001');
      await v3.call('/v3/auth/user/add', { name: 'root', password: ROOT.password });
      await v3.call('/v3/auth/role/add', { name: 'root' });
      await v3.call('/v3/auth/user/grant', { user: 'root', role: 'root' });
      await v3.call('/v3/auth/enable', {});
      const refused = await startProvider(secure.url, { api: 'v3', isSynced: false });
      await expect
        .poll(() => refused.provider.status().lastError)
        .toContain('etcd asks for a user name and password');
      await refused.provider.stop();
      const clock = fastClock(4);
      started = await startProvider(secure.url, {
        ...{ api: 'v3', follow: ['web'], username: 'root', passwordFile, options: { clock } },
      });
      const { receiver, provider } = started;
      expect(receiver.ids('web')).toEqual(['a']);
      // The token expires between two looks at the watch.
      const { lastSyncMs } = provider.status();
      await expect.poll(() => provider.status().lastSyncMs).toBeGreaterThan(lastSyncMs);
      await expect.poll(() => provider.status().lastError).toBe('');
      const root = await rootOf(secure.url);
      writeFileSync(passwordFile, 'another one\n');
      await root('/v3/auth/user/changepw', { name: 'root', password: 'another one' });
      await secure.restart();
      await root(
        '/v3/kv/put',
        { key: btoa('/backends/web/b'), value: btoa('10.0.0.1:8002') },
        'another one',
      );
      await receiver.until(() => receiver.ids('web').join() === 'a,b', 'b');
      await expect.poll(() => provider.status().lastError).toBe('');
    } finally {
      await secure.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('speaks TLS with certificates of its own, and to none that it does not trust', async () => {
    const { member, tls, stop } = await startSecureEtcd();
    try {
      const { v3 } = member;
      await v3.put('/backends/web/a', '10.0.0.1:8001');
      const { caFile, certFile, keyFile } = tls;
      const trust = { caFile, certFile, keyFile, serverName: '', verify: true };
      started = await startProvider(member.url, { api: 'v3', follow: ['web'], tls: trust });
      await v3.put('/backends/web/b', '10.0.0.1:8002');
      await started.receiver.until(() => started!.receiver.ids('web').join() === 'a,b', 'b');
      const without = { ...trust, certFile: '', keyFile: '' };
      const refused = await startProvider(member.url, {
        api: 'v3',
        tls: without,
        isSynced: false,
      });
      await expect.poll(() => refused.provider.status().lastError).not.toBe('');
      await refused.provider.stop();
      const untrusted = await startProvider(member.url, {
        ...{ api: 'v3', tls: { ...trust, caFile: '' }, isSynced: false },
      });
      await expect.poll(() => untrusted.provider.status().lastError).toMatch(/certificate/);
      await untrusted.provider.stop();
    } finally {
      await stop();
    }
  });
});

/** Calls of the v3 API as root; with another password from then on. */
async function rootOf(url: string) {
  const post = async (path: string, body: unknown, authorization = ''): Promise<unknown> => {
    const headers = {
      'content-type': 'application/json',
      ...(authorization === '' ? {} : { authorization }),
    };
    const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  return async (path: string, body: unknown, password = ROOT.password): Promise<void> => {
    const login = await post('/v3/auth/authenticate', { name: 'root', password });
    await post(path, body, (login as { token: string }).token);
  };
}
