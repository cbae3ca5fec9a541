// /v1/catalog/* and /v1/health/*: what is registered, over all nodes (Consul API, "Catalog",
// "Health").
import {
  BadRequest,
  type Call,
  type Registry,
  type Reply,
  type Route,
} from './embedded-registry.ts';
import { compileFilter } from './filter.ts';
import { catalogShape, checkShape, checksOf, nodeShape, serviceShape } from './shapes.ts';
import {
  CATALOG,
  CHECKS,
  type CheckStatus,
  type StoredCheck,
  type StoredService,
  serviceTopic,
} from './store.ts';

export function catalogRoutes(registry: Registry): Route[] {
  const { store } = registry;
  const all = (): StoredService[] => [...store.services.values()];
  const named = ({ rest, query }: Call): StoredService[] => {
    const tags = query.getAll('tag');
    return all().filter(
      (service) => service.name === rest && tags.every((tag) => service.tags.includes(tag)),
    );
  };
  return [
    get('/v1/catalog/services', CATALOG, () => servicesWithTags(all())),
    getNamed('/v1/catalog/service/', (call) => filtered(call, named(call).map(catalogShape))),
    get('/v1/catalog/nodes', CATALOG, () => nodesOf(registry)),
    { method: 'GET', path: '/v1/catalog/datacenters', answer: () => ({ body: ['dc1'] }) },
    {
      method: 'PUT',
      path: '/v1/catalog/register',
      answer: (call) => register(registry, call.json()),
    },
    {
      method: 'PUT',
      path: '/v1/catalog/deregister',
      answer: (call) => deregister(registry, call.json()),
    },
    getNamed('/v1/health/service/', (call) => {
      const isPassing = call.query.has('passing') && call.query.get('passing') !== 'false';
      const entries = named(call)
        .map((service) => ({
          Node: nodeShape(service.node, service.nodeAddress, service.createIndex),
          Service: serviceShape(service),
          Checks: checksOf(registry, service).map((check) => checkShape(check, service.tags)),
        }))
        .filter(({ Checks }) => !isPassing || Checks.every(({ Status }) => Status === 'passing'));
      return filtered(call, entries);
    }),
    getNamed('/v1/health/checks/', (call) =>
      shapes(registry, (check) => check.serviceName === call.rest),
    ),
    {
      method: 'GET',
      path: '/v1/health/node/',
      topic: () => CHECKS,
      answer: ({ rest }) => ({ body: shapes(registry, (check) => check.node === rest) }),
    },
    {
      method: 'GET',
      path: '/v1/health/state/',
      topic: () => CHECKS,
      answer: ({ rest }) => ({
        body: shapes(registry, (check) => rest === 'any' || check.status === rest),
      }),
    },
  ];
}

function get(path: string, topic: string, body: () => unknown): Route {
  return { method: 'GET', path, topic: () => topic, answer: () => ({ body: body() }) };
}

function getNamed(path: string, body: (call: Call) => unknown): Route {
  const topic = ({ rest }: Call) => serviceTopic(rest);
  return { method: 'GET', path, topic, answer: (call) => ({ body: body(call) }) };
}

function filtered<T>(call: Call, entries: readonly T[]): readonly T[] {
  const text = call.query.get('filter');
  return text === null || text === '' ? entries : entries.filter(compileFilter(text));
}

function servicesWithTags(services: readonly StoredService[]): Record<string, string[]> {
  const tags: Record<string, string[]> = {};
  for (const service of services) {
    tags[service.name] = [...new Set([...(tags[service.name] ?? []), ...service.tags])];
  }
  return tags;
}

function shapes(registry: Registry, isWanted: (check: StoredCheck) => boolean) {
  const { checks, services } = registry.store;
  return [...checks.values()]
    .filter(isWanted)
    .map((check) =>
      checkShape(check, services.get(`${check.node}/${check.serviceId}`)?.tags ?? []),
    );
}

function nodesOf(registry: Registry) {
  const nodes = new Map([[registry.node, registry.nodeAddress]]);
  for (const { node, nodeAddress } of registry.store.services.values())
    nodes.set(node, nodeAddress);
  return [...nodes].map(([node, address]) => nodeShape(node, address, 5));
}

interface CatalogEntry {
  readonly Node?: string;
  readonly Address?: string;
  readonly Service?: {
    readonly ID?: string;
    readonly Service?: string;
    readonly Tags?: readonly string[];
    readonly Address?: string;
    readonly Port?: number;
    readonly Meta?: Record<string, string>;
    readonly Weights?: { Passing?: number; Warning?: number };
  };
  readonly Check?: {
    CheckID?: string;
    Name?: string;
    Status?: string;
    ServiceID?: string;
    Output?: string;
  };
}

function register(registry: Registry, body: CatalogEntry): Reply {
  const { Node: node = '', Address: nodeAddress = '', Service, Check } = body;
  if (node === '' || nodeAddress === '') throw new BadRequest('Must provide node and address');
  const name = Service?.Service ?? '';
  if (Service !== undefined) {
    if (name === '') throw new BadRequest('Must provide service name with ID');
    const { Passing = 1, Warning = 1 } = Service.Weights ?? {};
    registry.store.putService({
      node,
      nodeAddress,
      id: Service.ID || name,
      name,
      tags: Service.Tags ?? [],
      address: Service.Address ?? '',
      port: Service.Port ?? 0,
      meta: Service.Meta ?? {},
      weights: { Passing, Warning },
    });
  }
  if (Check !== undefined) {
    const status = Check.Status;
    const isKnown = status === 'passing' || status === 'warning' || status === 'critical';
    const serviceId = Check.ServiceID ?? '';
    registry.store.putCheck({
      node,
      id: Check.CheckID || Check.Name || '',
      name: Check.Name ?? '',
      status: isKnown ? (status as CheckStatus) : 'critical',
      notes: '',
      output: Check.Output ?? '',
      serviceId,
      serviceName: registry.store.services.get(`${node}/${serviceId}`)?.name ?? '',
    });
  }
  return { body: true };
}

function deregister(registry: Registry, body: Record<string, unknown>): Reply {
  const { store } = registry;
  const node = typeof body.Node === 'string' ? body.Node : '';
  if (node === '') throw new BadRequest('Must provide node');
  if (typeof body.ServiceID === 'string') store.removeService(node, body.ServiceID);
  else if (typeof body.CheckID === 'string') store.removeCheck(node, body.CheckID);
  else {
    for (const service of [...store.services.values()]) {
      if (service.node === node) store.removeService(node, service.id);
    }
  }
  return { body: true };
}
