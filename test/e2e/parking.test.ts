// Requests that wait for a service's first instance, with the real Consul.
import { afterEach, describe, expect, it } from 'vitest';
import { hasConsul, startConsul } from '../support/consul.ts';
import { startEndpoint } from '../support/endpoint.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver } from '../support/upriver.ts';

const endings: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

describe.skipIf(!hasConsul)('a service without an instance', () => {
  it('keeps requests waiting, and serves them the moment one registers', async () => {
    const consul = await startConsul();
    endings.push(() => consul.stop());
    const [port] = await freePorts(1);
    const service = `web=${port},limits.park=45s,limits.queue=20`;
    const upriver = await startUpriver({
      args: ['--consul', consul.url, '--service', service, '--workers', '1'],
    });
    endings.push(() => upriver.stop());
    // Before anybody waits: on a slow machine it takes long to start.
    const endpoint = await startEndpoint('a');
    endings.push(() => endpoint.kill());
    const url = `http://127.0.0.1:${port}/`;
    const early: string[] = [];
    const asked = Array.from({ length: 30 }, async () => {
      const answer = await fetch(url);
      const text = `${answer.status} ${(await answer.text()).trim()}`;
      early.push(text);
      return text;
    });
    // What the queue has no room for is answered now: then all of the others are in it.
    await expect.poll(() => early.length).toBe(10);
    for (const answer of early) expect(answer).toMatch(/^503 /);
    await consul.register({ Name: 'web', ID: 'a', Address: '127.0.0.1', Port: endpoint.port });
    const answers = await Promise.all(asked);
    expect(answers.filter((answer) => answer === '200 a GET 0')).toHaveLength(20);
    expect(answers.filter((answer) => answer.startsWith('503'))).toHaveLength(10);
  });
});
