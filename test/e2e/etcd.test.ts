// The etcd provider on real members of etcd: both APIs, and what goes wrong with each.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type EtcdMember, etcd34, etcd35, startEtcd } from '../support/etcd.ts';
import { type StartedEtcd, startProvider } from '../support/etcd-provider.ts';

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
    await v2.set('/backends/web/b', '10.0.0.1:8002', { ttl: '1' });
    await v2.set('/backends/web/port', '8000');
    await receiver.until(() => port('web') === '8000', 'the port');
    expect(addresses('web')).toEqual(['10.0.0.1:8001', '10.0.0.1:8002']);
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
    started = await startProvider(etcd.url, { api: 'v2', follow: ['web'] });
    const { receiver, addresses } = started;
    etcd.freeze();
    etcd.thaw();
    // Beside the prefix: the wait that is open hears of none of them.
    await Promise.all(
      Array.from({ length: 10 }, async (_, worker) => {
        for (let i = 0; i < 110; i += 1) await v2.set(`/other/${worker}`, String(i));
      }),
    );
    await v2.set('/backends/web/b', '10.0.0.1:8002');
    await v2.set('/backends/web/c', '10.0.0.1:8003');
    await receiver.until(() => addresses('web').length === 3, 'all three');
    expect(started.provider.status()).toMatchObject({ errors: 0, lastError: '' });
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
      started = await startProvider(etcd.url, { api: 'v3', follow: ['web'] });
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
      started = await startProvider(etcd.url, { api: 'v3', follow: ['web'] });
      const { receiver, addresses } = started;
      await etcd.kill();
      await etcd.restart();
      for (const id of ['b', 'c']) await v3.put(`/backends/web/${id}`, '10.0.0.1:8002');
      await v3.delete('/backends/web/a');
      await v3.compact(await v3.revision());
      await receiver.until(() => receiver.ids('web').join() === 'b,c', 'b and c');
      expect(addresses('web')).toHaveLength(2);
      for (const id of ['b', 'c']) await v3.delete(`/backends/web/${id}`);
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
