// The embedded registry does what a Consul agent does: the suite that a real agent passes too.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/prng.ts';
import { createEmbeddedRegistry } from '../../src/dev/embedded-registry.ts';
import { consulApiSuite } from '../suites/consul-api.suite.ts';

const registry = createEmbeddedRegistry({ clock: systemClock, random: seededRandom(1) });
let url = '';

beforeAll(async () => {
  ({ url } = await registry.listen('127.0.0.1', 0));
});
afterAll(() => registry.close());

describe('the embedded registry', () => {
  consulApiSuite(() => ({ url }));

  it('says which port is taken', async () => {
    const other = createEmbeddedRegistry({ clock: systemClock, random: seededRandom(1) });
    const port = Number(new URL(url).port);
    await expect(other.listen('127.0.0.1', port)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await other.close();
  });
});
