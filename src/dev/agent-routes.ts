// /v1/agent/* and /v1/status/*: what is registered with the local agent (Consul API, "Agent").
import type { Agent } from './agent.ts';
import { Fields, parseObject, readCheck, readService, STATUSES } from './definitions.ts';
import { compileFilter } from './filter.ts';
import { type Call, Refusal, type Reply, type Route } from './routes.ts';
import { agentServiceShape, checkShape, DATACENTER, samples } from './shapes.ts';

/** `version`: what /v1/agent/self says of the agent. */
export function agentRoutes(agent: Agent, version: string): Route[] {
  const server = `${agent.address}:8300`;
  return [
    put('/v1/agent/service/register', ({ body }) => {
      agent.registerService(readService(parseObject(body)));
    }),
    put('/v1/agent/service/deregister/', ({ rest }) => {
      if (rest === '') throw new Refusal(500, 'ServiceID missing');
      agent.deregisterService(rest);
    }),
    put('/v1/agent/service/maintenance/', (call) => {
      if (call.rest === '') throw new Refusal(400, 'Missing service ID');
      agent.maintainService(call.rest, isEnabled(call), call.query.get('reason') ?? '');
    }),
    put('/v1/agent/maintenance', (call) => {
      agent.maintainNode(isEnabled(call), call.query.get('reason') ?? '');
    }),
    put('/v1/agent/check/register', ({ body }) => {
      agent.registerCheck(readCheck(parseObject(body), { mustHaveName: true }));
    }),
    put('/v1/agent/check/deregister/', ({ rest }) => agent.deregisterCheck(rest)),
    ...ttlRoutes(agent),
    get('/v1/agent/services', (call) => services(agent, call)),
    get('/v1/agent/checks', (call) => checks(agent, call)),
    get('/v1/agent/self', () => ({ json: selfShape(agent, version) })),
    get('/v1/status/leader', () => ({ json: server })),
    get('/v1/status/peers', () => ({ json: [server] })),
  ];
}

function put(path: string, run: (call: Call) => void): Route {
  const answer = (call: Call): Reply => {
    run(call);
    return {};
  };
  return { method: 'PUT', path, answer };
}

function get(path: string, answer: (call: Call) => Reply): Route {
  return { method: 'GET', path, answer };
}

function ttlRoutes(agent: Agent): Route[] {
  const words = [
    ['pass', 'passing'],
    ['warn', 'warning'],
    ['fail', 'critical'],
  ] as const;
  return [
    ...words.map(([word, status]) =>
      put(`/v1/agent/check/${word}/`, ({ rest, query }) =>
        agent.setTtl(rest, { status, output: query.get('note') ?? '' }),
      ),
    ),
    put('/v1/agent/check/update/', ({ rest, body }) => {
      const fields = new Fields(parseObject(body), 'Status Output');
      const status = fields.text('Status');
      if (!STATUSES.includes(status)) {
        throw new Refusal(400, `Invalid check status: '${status}'`);
      }
      agent.setTtl(rest, { status, output: fields.text('Output') });
    }),
  ];
}

function isEnabled({ query }: Call): boolean {
  const value = query.get('enable') ?? '';
  if (value === '') throw new Refusal(400, 'Missing value for enable');
  if (value === 'true' || value === '1') return true;
  if (value === 'false' || value === '0') return false;
  throw new Refusal(400, `Invalid value for enable: "${value}"`);
}

function services(agent: Agent, { query }: Call): Reply {
  const matches = compileFilter(query.get('filter') ?? '', samples.agentService);
  const shapes = agent.services().map(agentServiceShape).filter(matches);
  return { json: Object.fromEntries(shapes.map((shape) => [shape.ID, shape])) };
}

/** The agent's own view of a check has no indexes. */
function checks(agent: Agent, { query }: Call): Reply {
  const matches = compileFilter(query.get('filter') ?? '', samples.check);
  const shapes = agent
    .checks()
    .map((check) => checkShape(agent.catalog, { ...check, createIndex: 0, modifyIndex: 0 }))
    .filter(matches);
  return { json: Object.fromEntries(shapes.map((shape) => [shape.CheckID, shape])) };
}

function selfShape({ node, nodeId, address }: Agent, version: string) {
  return {
    Config: {
      Datacenter: DATACENTER,
      NodeName: node,
      NodeID: nodeId,
      Revision: '',
      Server: true,
      Version: version,
    },
    Member: { Name: node, Addr: address, Port: 8301, Tags: { role: 'consul' }, Status: 1 },
    Meta: { 'consul-network-segment': '' },
  };
}
