// /v1/agent/*: what a node registers with its agent (Consul API, "Agent", "Service", "Check").
import { type CheckDefinition, durationOf } from './agent-checks.ts';
import {
  BadRequest,
  type Call,
  type Registry,
  type Reply,
  type Route,
} from './embedded-registry.ts';
import { checkShape, serviceShape } from './shapes.ts';
import type { CheckStatus } from './store.ts';

const MAINTENANCE = '_service_maintenance:';
const STATUSES: readonly CheckStatus[] = ['passing', 'warning', 'critical'];

export function agentRoutes(registry: Registry): Route[] {
  const { store, node } = registry;
  const own = <T extends { node: string }>(all: Iterable<T>) =>
    [...all].filter((one) => one.node === node);
  return [
    put('/v1/agent/service/register', (call) => registerService(registry, call.json())),
    put('/v1/agent/service/deregister/', ({ rest }) => {
      for (const check of own(store.checks.values())) {
        if (check.serviceId === rest) registry.checks.stop(check.id);
      }
      return store.removeService(node, rest) ? {} : unknown('service', rest);
    }),
    put('/v1/agent/service/maintenance/', (call) => maintain(registry, call)),
    put('/v1/agent/check/register', (call) => {
      registerCheck(registry, call.json() as CheckDefinition, null);
      return {};
    }),
    put('/v1/agent/check/deregister/', ({ rest }) => {
      registry.checks.stop(rest);
      return store.removeCheck(node, rest) ? {} : unknown('check', rest);
    }),
    put('/v1/agent/check/pass/', (call) => setTtl(registry, call, 'passing')),
    put('/v1/agent/check/warn/', (call) => setTtl(registry, call, 'warning')),
    put('/v1/agent/check/fail/', (call) => setTtl(registry, call, 'critical')),
    put('/v1/agent/check/update/', (call) => {
      const { Status, Output } = call.json();
      const status = STATUSES.find((one) => one === Status);
      if (status === undefined) throw new BadRequest(`Invalid check status: '${String(Status)}'`);
      return setTtl(registry, call, status, typeof Output === 'string' ? Output : '');
    }),
    get('/v1/agent/services', () => {
      const services = own(store.services.values());
      return Object.fromEntries(services.map((service) => [service.id, serviceShape(service)]));
    }),
    get('/v1/agent/checks', () => {
      const checks = own(store.checks.values());
      return Object.fromEntries(checks.map((check) => [check.id, checkShape(check, [])]));
    }),
    get('/v1/agent/self', () => ({
      Config: { Datacenter: 'dc1', NodeName: node, Server: true, Version: 'upriver-dev' },
      Member: { Name: node, Addr: registry.nodeAddress, Status: 1 },
      Meta: {},
    })),
    get('/v1/status/leader', () => `${registry.nodeAddress}:8300`),
    get('/v1/status/peers', () => [`${registry.nodeAddress}:8300`]),
  ];
}

function put(path: string, answer: (call: Call) => Reply): Route {
  return { method: 'PUT', path, answer };
}

function get(path: string, body: () => unknown): Route {
  return { method: 'GET', path, answer: () => ({ body: body() }) };
}

/** Consul 1.8 answers 500 here; later versions 404. */
function unknown(kind: 'service' | 'check', id: string): Reply {
  return { status: 404, text: `Unknown ${kind} ID "${id}"` };
}

function registerService(registry: Registry, body: Record<string, unknown>): Reply {
  const name = textOf(body, 'Name');
  if (name === '') throw new BadRequest('Missing service name');
  const id = textOf(body, 'ID') || name;
  const { Passing = 1, Warning = 1 } = (body.Weights ?? {}) as {
    Passing?: number;
    Warning?: number;
  };
  const checks = checksOf(body);
  for (const check of checks) assertRunnable(check);
  registry.store.putService({
    node: registry.node,
    nodeAddress: registry.nodeAddress,
    id,
    name,
    tags: Array.isArray(body.Tags) ? body.Tags.map(String) : [],
    address: textOf(body, 'Address'),
    port: typeof body.Port === 'number' ? body.Port : 0,
    meta: (body.Meta ?? {}) as Record<string, string>,
    weights: { Passing, Warning },
  });
  checks.forEach((check, i) => {
    const fallback = checks.length === 1 ? `service:${id}` : `service:${id}:${i + 1}`;
    registerCheck(registry, { CheckID: fallback, ...check, ServiceID: id }, name);
  });
  return {};
}

function checksOf(body: Record<string, unknown>): CheckDefinition[] {
  const one = body.Check ? [body.Check as CheckDefinition] : [];
  return Array.isArray(body.Checks) ? [...one, ...(body.Checks as CheckDefinition[])] : one;
}

function registerCheck(registry: Registry, check: CheckDefinition, service: string | null): void {
  const { store, node } = registry;
  assertRunnable(check);
  const id = check.CheckID || check.ID || check.Name || '';
  if (id === '') throw new BadRequest('Missing check name');
  const serviceId = check.ServiceID ?? '';
  const owner = store.services.get(`${node}/${serviceId}`);
  if (serviceId !== '' && owner === undefined) {
    throw new BadRequest(`ServiceID "${serviceId}" does not exist`);
  }
  const serviceName = service ?? owner?.name ?? '';
  store.putCheck({
    node,
    id,
    name: check.Name || (serviceName === '' ? id : `Service '${serviceName}' check`),
    status: STATUSES.find((one) => one === check.Status) ?? 'critical',
    notes: check.Notes ?? '',
    output: '',
    serviceId,
    serviceName,
  });
  registry.checks.start(id, check);
}

function assertRunnable(check: CheckDefinition): void {
  for (const field of ['TTL', 'Interval', 'Timeout'] as const) {
    const value = check[field];
    if (value !== undefined && value !== '') asBadRequest(() => durationOf(value, field));
  }
  const isAsked = check.HTTP !== undefined || check.TCP !== undefined;
  if (isAsked && check.Interval === undefined) {
    throw new BadRequest('Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks');
  }
  if (!isAsked && check.TTL === undefined) {
    throw new BadRequest('Invalid check: TTL must be > 0 for TTL checks');
  }
}

function asBadRequest(run: () => void): void {
  try {
    run();
  } catch (error) {
    throw new BadRequest(error instanceof Error ? error.message : String(error));
  }
}

function setTtl(registry: Registry, call: Call, status: CheckStatus, output?: string): Reply {
  const { store, node } = registry;
  const check = store.checks.get(`${node}/${call.rest}`);
  if (check === undefined) return unknown('check', call.rest);
  const { createIndex: _, modifyIndex: __, ...rest } = check;
  store.putCheck({ ...rest, status, output: output ?? call.query.get('note') ?? '' });
  return {};
}

function maintain(registry: Registry, call: Call): Reply {
  const { store, node } = registry;
  const service = store.services.get(`${node}/${call.rest}`);
  const enable = call.query.get('enable');
  if (enable === null) throw new BadRequest('Missing value for enable');
  if (enable !== 'true' && enable !== 'false') {
    throw new BadRequest(`Invalid value for enable: ${enable}`);
  }
  if (service === undefined) return unknown('service', call.rest);
  const id = `${MAINTENANCE}${service.id}`;
  if (enable === 'false') {
    store.removeCheck(node, id);
    return {};
  }
  const reason = call.query.get('reason') ?? '';
  store.putCheck({
    node,
    id,
    name: 'Service Maintenance Mode',
    status: 'critical',
    notes:
      reason === ''
        ? 'Maintenance mode is enabled for this service, but no reason was provided. This is a default message.'
        : reason,
    output: '',
    serviceId: service.id,
    serviceName: service.name,
  });
  return {};
}

function textOf(body: Record<string, unknown>, field: string): string {
  const value = body[field];
  return typeof value === 'string' ? value : '';
}
