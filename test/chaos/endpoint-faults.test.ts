// One fault after the other, each on endpoints with active checks under constant GETs, with default
// settings. Above each scenario: what must not fail, and what may.
import { afterEach, describe, expect, it } from 'vitest';
import { hasConsul } from '../support/consul.ts';
import { startLoad } from '../support/load.ts';
import { clearStage, deferred, RATE, type Stage, setStage } from '../support/stage.ts';
import type { LogLine } from '../support/upriver.ts';

afterEach(clearStage);

/** Ends the load: nothing was lost. */
async function expectNothingLost({ gets, upriver }: Stage) {
  const result = await gets.stop();
  expect(result.failures, upriver.output().split('\n').slice(-30).join('\n')).toEqual([]);
  expect(result.ok).toBeGreaterThan(RATE);
  return result;
}

describe.skipIf(!hasConsul)('one of four endpoints', () => {
  // Must not fail: GETs; POSTs that begin after the kill. May fail: POSTs that were on it.
  it('crashes', async () => {
    const stage = await setStage();
    const { endpoints, gets, url } = stage;
    const victim = endpoints[0]!;
    const posts = startLoad({
      ...{ url: `${url}slow?ms=20`, method: 'POST', body: 'x', perSecond: 100, timeoutMs: 15_000 },
    });
    deferred(() => posts.stop());
    await posts.next(50);
    const { active } = await stage.figures('e0');
    const killedMs = Date.now();
    await victim.kill();
    await stage.untilState('e0', 'down');
    await gets.next(RATE);
    const onPosts = await posts.stop();
    await expectNothingLost(stage);
    // Those that it had when it died: what began later was served. A worker may learn of it late, but no later than
    // of the table without it.
    const isOut = ({ endpoint, from, time }: LogLine) =>
      endpoint === 'dev/e0' && from === 'up' && Date.parse(String(time)) >= killedMs;
    const out = await stage.upriver.waitForLog(isOut, 'e0 is out');
    for (const { sentMs, why } of onPosts.failures) {
      expect(why).toMatch(/^502 (reset|stale-connection)$/);
      expect(sentMs).toBeLessThanOrEqual(Date.parse(String(out.time)));
    }
    expect(onPosts.failures.length).toBeLessThan(25 + active);
  });

  // Must not fail: anything. Least connections gives it what it can take.
  it('becomes slow', async () => {
    const stage = await setStage();
    await stage.endpoints[0]!.behave({ delayMs: 1500 });
    const before = (await stage.figures('e0')).requests;
    await stage.gets.next(2 * RATE);
    const after = (await stage.figures('e0')).requests;
    await expectNothingLost(stage);
    expect((await stage.figures('e0')).state).toBe('up');
    expect(after - before).toBeLessThan(2 * RATE * 0.15);
  });

  // Must not fail: anything. Its good checks do not bring it back before its time.
  it('lies that it is well, and cuts connections', async () => {
    const stage = await setStage();
    await stage.endpoints[0]!.behave({ requests: 'reset' });
    await stage.untilState('e0', 'ejected');
    await stage.gets.next(RATE);
    expect((await stage.figures('e0')).state).toBe('ejected');
    await expectNothingLost(stage);
  });

  // Must not fail: anything. A 503 of one endpoint is asked of another (retry.on).
  it('lies that it is well, and answers 503', async () => {
    const stage = await setStage();
    await stage.endpoints[0]!.behave({ requests: 503 });
    await stage.gets.next(2 * RATE);
    await expectNothingLost(stage);
  });

  // Must not fail: anything.
  it('lies that it is ill, and gets nothing more', async () => {
    const stage = await setStage();
    await stage.endpoints[0]!.behave({ health: 503 });
    await stage.untilState('e0', 'down');
    const requests = async () => (await stage.figures('e0')).requests;
    // What was under way between the decision and its being live in the workers.
    const more = async () => {
      const count = await requests();
      await stage.gets.next(20);
      return (await requests()) - count;
    };
    await expect.poll(more).toBe(0);
    const before = await requests();
    await stage.gets.next(RATE);
    expect(await requests()).toBe(before);
    await expectNothingLost(stage);
  });

  // Must not fail: anything.
  it('comes and goes ten times', async () => {
    const stage = await setStage();
    let victim = stage.endpoints[0]!;
    for (let i = 0; i < 10; i += 1) {
      await victim.kill();
      await stage.gets.next(RATE / 5);
      victim = await stage.start('e0', victim.port);
      await stage.gets.next(RATE / 5);
    }
    await stage.untilState('e0', 'up');
    await expectNothingLost(stage);
  });
});

describe.skipIf(!hasConsul)('all endpoints', () => {
  // Must not fail: anything. Below the panic threshold the word of the checks is not believed.
  it('lie that they are ill', async () => {
    const stage = await setStage();
    for (const endpoint of stage.endpoints) await endpoint.behave({ health: 503 });
    for (const { id } of stage.endpoints) await stage.untilState(id, 'down');
    await stage.gets.next(RATE);
    await expectNothingLost(stage);
    const readiness = await fetch(`${stage.upriver.statsUrl}/healthz`);
    expect(readiness.status).toBe(200);
  });

  // Must not fail: anything, POSTs included. At the end only the new ones answer.
  it('are replaced at once by as many new ones', async () => {
    const stage = await setStage();
    const posts = startLoad({
      ...{ url: stage.url, method: 'POST', body: 'x', perSecond: 100, timeoutMs: 15_000 },
    });
    deferred(() => posts.stop());
    const blue = stage.endpoints;
    const green = await Promise.all([0, 1, 2, 3].map((i) => stage.start(`green${i}`)));
    for (const endpoint of green) await stage.register(endpoint);
    for (const { id } of green) await stage.untilState(id, 'up');
    for (const { id } of blue) await stage.consul.deregister(id);
    await expect
      .poll(() => stage.figures('e3').catch(() => null), { message: 'e3 is gone' })
      .toBeNull();
    await Promise.all(blue.map((endpoint) => endpoint.terminate()));
    await stage.gets.next(RATE);
    const late = startLoad({ url: stage.url, perSecond: RATE, timeoutMs: 15_000 });
    await late.next(RATE);
    const { byEndpoint, failures } = await late.stop();
    expect(failures).toEqual([]);
    expect([...byEndpoint.keys()].sort()).toEqual(green.map(({ id }) => id).sort());
    expect((await posts.stop()).failures).toEqual([]);
    await expectNothingLost(stage);
  });

  // May fail: everything while nobody is there, and at once. Must not: the first request after one
  // came back.
  it('die, and one comes back', async () => {
    const stage = await setStage();
    const { endpoints, gets, upriver, url } = stage;
    await Promise.all(endpoints.map((endpoint) => endpoint.kill()));
    for (const { id } of endpoints) await stage.untilState(id, 'down');
    await gets.next(20);
    const { failures, latenciesMs } = await gets.stop();
    expect(failures.length).toBeGreaterThan(0);
    for (const { why } of failures) expect(why).toMatch(/^50[23] [a-z-]+$/);
    // Nobody waited for a timeout: it is refused, or tried on a few, and told.
    expect(Math.max(...latenciesMs)).toBeLessThan(5000);
    await stage.start('e0', endpoints[0]!.port);
    await stage.untilState('e0', 'up');
    const again = startLoad({ url, perSecond: RATE, timeoutMs: 15_000 });
    await again.next(RATE);
    expect((await again.stop()).failures, upriver.output()).toEqual([]);
  });
});
