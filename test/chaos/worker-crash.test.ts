// One of two workers dies of an exception that nobody catches. Must not fail: what the other worker
// has, and what comes after the new one is there. May fail: what the dead one had in its hands.
import { afterEach, describe, expect, it } from 'vitest';
import { hasConsul } from '../support/consul.ts';
import { crashWorker, inspectable } from '../support/inspector.ts';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { clearStage, RATE, setStage } from '../support/stage.ts';

afterEach(clearStage);

describe.skipIf(!hasConsul)('a worker', () => {
  it('that dies takes its own connections with it and nothing else', async () => {
    const [port = 0] = await freePorts(1);
    const stage = await setStage({ args: ['--workers', '2'], env: inspectable(port) });
    const { gets, upriver, url } = stage;
    await crashWorker(upriver, port);
    await gets.next(2 * RATE);
    const { failures, ok } = await gets.stop();
    expect(ok).toBeGreaterThan(RATE);
    // Cut connections, and none of our replies: what began later was served. On a slow machine a thread takes a
    // while to die, and has more in its hands then.
    const died = await upriver.waitForLog(({ msg }) => msg.startsWith('worker died'), 'its death');
    for (const { sentMs, why } of failures) {
      expect(why).toMatch(/ECONNRESET|socket hang up|ECONNREFUSED/);
      expect(sentMs).toBeLessThanOrEqual(Date.parse(String(died.time)));
    }
    // Both are there again, and know the table.
    const fresh = startLoad({ url, perSecond: RATE, timeoutMs: 15_000, keepAlive: false });
    await fresh.next(RATE);
    expect((await fresh.stop()).failures).toEqual([]);
    await expect
      .poll(() => fetch(`${upriver.statsUrl}/readyz`).then(({ status }) => status))
      .toBe(200);
  });
});
