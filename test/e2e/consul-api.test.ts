// A real Consul agent passes the suite that the embedded registry is measured by.
import { afterAll, beforeAll, describe } from 'vitest';
import { consulApiSuite } from '../suites/consul-api.suite.ts';
import { type ConsulAgent, hasConsul, startConsul } from '../support/consul.ts';

describe.skipIf(!hasConsul)('a Consul agent', () => {
  let agent: ConsulAgent;
  beforeAll(async () => {
    agent = await startConsul();
  });
  afterAll(() => agent.stop());

  consulApiSuite(() => agent);
});
