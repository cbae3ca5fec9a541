// What Consul's HTTP API does, as far as Upriver and its tutorials use it. The same assertions run
// over a real agent and over the embedded registry: see their two tests.
import { describe } from 'vitest';
import { agentSuite } from './consul-api/agent.ts';
import { blockingSuite } from './consul-api/blocking.ts';
import { catalogSuite } from './consul-api/catalog.ts';
import { checkSuite } from './consul-api/checks.ts';
import { type Registry, RegistryClient } from './consul-api/client.ts';
import { filterSuite } from './consul-api/filters.ts';
import { keySuite } from './consul-api/keys.ts';

export function consulApiSuite(registry: Registry): void {
  const client = new RegistryClient(registry);
  describe('the agent', () => agentSuite(client));
  describe('blocking queries', () => blockingSuite(client));
  describe('checks', () => checkSuite(client));
  describe('filters', () => filterSuite(client));
  describe('the catalog', () => catalogSuite(client));
  describe('keys', () => keySuite(client));
}
