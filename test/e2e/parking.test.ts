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
    const service = `web=${port},limits.park=15s,limits.queue=20`;
    const upriver = await startUpriver({
      args: ['--consul', consul.url, '--service', service, '--workers', '1'],
    });
    endings.push(() => upriver.stop());
    // Before anybody waits: on a slow machine it takes long to start.
    const endpoint = await startEndpoint('a');
    endings.push(() => endpoint.kill());
    const url = `http://127.0.0.1:${port}/`;
    const asked = Array.from({ length: 30 }, () =>
      fetch(url).then(async (answer) => `${answer.status} ${(await answer.text()).trim()}`),
    );
    // What the queue has no room for is answered now, and told when to come again.
    const early = await Promise.race(asked);
    expect(early).toContain('503');
    await consul.register({ Name: 'web', ID: 'a', Address: '127.0.0.1', Port: endpoint.port });
    const answers = await Promise.all(asked);
    expect(answers.filter((answer) => answer === '200 a GET 0')).toHaveLength(20);
    expect(answers.filter((answer) => answer.startsWith('503'))).toHaveLength(10);
  });
});
