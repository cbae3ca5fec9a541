// /v1/catalog/* and /v1/health/*: what is registered, over all nodes (Consul API, "Catalog",
// "Health").
import type { Catalog, StoredCheck, StoredService } from './catalog.ts';
import { Fields, parseObject, readWeights } from './definitions.ts';
import { compileFilter } from './filter.ts';
import { type Call, isOn, Refusal, type Reply, type Route } from './routes.ts';
import {
  catalogShape,
  checkShape,
  DATACENTER,
  nodeShape,
  samples,
  serviceShape,
} from './shapes.ts';

const NO_SERVICE = 'Missing service name';
const NO_NODE = 'Missing node name';

export function catalogRoutes(catalog: Catalog): Route[] {
  return [
    get('/v1/catalog/datacenters', null, () => [DATACENTER]),
    get(
      '/v1/catalog/nodes',
      () => catalog.nodesIndex,
      (call) => filtered(call, catalog.nodes().map(nodeShape), samples.node),
    ),
    get(
      '/v1/catalog/node/',
      ({ rest }) =>
        catalog.node(rest) === undefined ? 1 : Math.max(catalog.nodesIndex, catalog.servicesIndex),
      (call) => nodeWithServices(catalog, call),
    ),
    get(
      '/v1/catalog/services',
      () => catalog.servicesIndex,
      () => tagsByName(catalog.services()),
    ),
    get(
      '/v1/catalog/service/',
      ({ rest }) => catalog.serviceIndex(rest),
      (call) => {
        const shapes = instances(catalog, call).map((service) =>
          catalogShape(service, catalog.node(service.node)!),
        );
        return filtered(call, shapes, samples.catalogService);
      },
    ),
    put('/v1/catalog/register', ({ body }) => register(catalog, parseObject(body))),
    put('/v1/catalog/deregister', ({ body }) => deregister(catalog, parseObject(body))),
  ];
}

export function healthRoutes(catalog: Catalog): Route[] {
  const checks = (
    path: string,
    missing: string,
    isWanted: (check: StoredCheck, rest: string) => boolean,
  ): Route => {
    const json = (call: Call) => {
      if (call.rest === '') throw new Refusal(400, missing);
      const wanted = catalog.checks((check) => isWanted(check, call.rest));
      const shapes = wanted.map((check) => checkShape(catalog, check));
      return filtered(call, shapes, samples.check);
    };
    return get(path, () => catalog.checksIndex, json);
  };
  return [
    get(
      '/v1/health/service/',
      ({ rest }) => catalog.serviceIndex(rest),
      (call) => healthOf(catalog, call),
    ),
    checks('/v1/health/checks/', NO_SERVICE, (check, name) => isSameName(check.serviceName, name)),
    checks('/v1/health/node/', NO_NODE, (check, node) => check.node === node),
    checks(
      '/v1/health/state/',
      'Missing check state',
      (check, state) => state === 'any' || check.status === state,
    ),
  ];
}

function get(
  path: string,
  index: ((call: Call) => number) | null,
  json: (call: Call) => unknown,
): Route {
  const answer = (call: Call): Reply => ({ json: json(call) });
  return { method: 'GET', path, answer, ...(index === null ? {} : { index }) };
}

function put(path: string, run: (call: Call) => void): Route {
  const answer = (call: Call): Reply => {
    run(call);
    return { json: true };
  };
  return { method: 'PUT', path, answer };
}

/** Names of services are the same in any case. */
function isSameName(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

/** The instances that the path names and `?tag=` (which may come more than once) leaves. */
function instances(catalog: Catalog, call: Call): StoredService[] {
  if (call.rest === '') throw new Refusal(400, NO_SERVICE);
  const tags = call.query.getAll('tag').filter((tag) => tag !== '');
  return catalog.services(
    (service) =>
      isSameName(service.name, call.rest) &&
      tags.every((wanted) => service.tags.some((tag) => isSameName(tag, wanted))),
  );
}

/** Null for a node that nobody knows. */
function nodeWithServices(catalog: Catalog, call: Call) {
  if (call.rest === '') throw new Refusal(400, NO_NODE);
  const node = catalog.node(call.rest);
  if (node === undefined) return null;
  const shapes = catalog.services((service) => service.node === node.node).map(serviceShape);
  const services = filtered(call, shapes, samples.healthEntry.Service);
  return {
    Node: nodeShape(node),
    Services: Object.fromEntries(services.map((service) => [service.ID, service])),
  };
}

function healthOf(catalog: Catalog, call: Call) {
  const isPassing = isOn(call.query, 'passing');
  const entries = instances(catalog, call).map((service) => ({
    Node: nodeShape(catalog.node(service.node)!),
    Service: serviceShape(service),
    Checks: catalog.checksOf(service).map((check) => checkShape(catalog, check)),
  }));
  const wanted = entries.filter(
    ({ Checks }) => !isPassing || Checks.every(({ Status }) => Status === 'passing'),
  );
  return filtered(call, wanted, samples.healthEntry);
}

function filtered<T>({ query }: Call, entries: readonly T[], sample: unknown): readonly T[] {
  return entries.filter(compileFilter(query.get('filter') ?? '', sample));
}

function tagsByName(services: readonly StoredService[]): Record<string, string[]> {
  const names = new Map<string, Set<string>>();
  for (const { name, tags } of services) {
    names.set(name, new Set([...(names.get(name) ?? []), ...tags]));
  }
  return Object.fromEntries([...names].map(([name, tags]) => [name, [...tags]]));
}

function register(catalog: Catalog, body: unknown): void {
  const fields = new Fields(
    body,
    'ID Node Address Datacenter TaggedAddresses NodeMeta Service Check Checks SkipNodeUpdate Token',
  );
  const node = fields.text('Node');
  const address = fields.text('Address');
  if (node === '') throw new Refusal(500, 'Must provide node');
  const isKept = fields.flag('SkipNodeUpdate') && catalog.node(node) !== undefined;
  if (address === '' && !isKept) {
    throw new Refusal(500, 'Must provide address if SkipNodeUpdate is not set');
  }
  const service = fields.raw('Service');
  const read = service === undefined || service === null ? null : readInstance(node, service);
  const checks = [fields.raw('Check'), ...fields.list('Checks')]
    .filter((check) => check !== undefined && check !== null)
    .map((check) => readCatalogCheck(node, check));
  for (const { serviceId } of checks) {
    const isThere = serviceId === read?.id || catalog.service(node, serviceId) !== undefined;
    if (serviceId === '' || isThere) continue;
    const why = `Missing service registration on node "${node}"`;
    throw new Refusal(500, `failed inserting check: ${why}`);
  }
  if (!isKept) {
    const tagged =
      fields.raw('TaggedAddresses') === undefined ? null : fields.texts('TaggedAddresses');
    const meta = fields.raw('NodeMeta') === undefined ? null : fields.texts('NodeMeta');
    const id = fields.text('ID');
    catalog.putNode({ node, id, address, taggedAddresses: tagged, meta });
  }
  if (read !== null) catalog.putService(read);
  for (const check of checks) {
    catalog.putCheck({
      ...check,
      serviceName: catalog.service(node, check.serviceId)?.name ?? '',
    });
  }
}

function readInstance(node: string, value: unknown) {
  const fields = new Fields(
    value,
    'ID Service Tags Address TaggedAddresses Port Meta Weights EnableTagOverride Kind Proxy ' +
      'Connect Namespace Partition SocketPath CreateIndex ModifyIndex',
  );
  const name = fields.text('Service');
  if (name === '') throw new Refusal(500, 'Must provide service name with ID');
  return {
    node,
    id: fields.text('ID') || name,
    name,
    tags: fields.list('Tags').map(String),
    address: fields.text('Address'),
    port: fields.number('Port'),
    taggedAddresses: {},
    meta: fields.texts('Meta'),
    weights: readWeights(fields.raw('Weights')),
    enableTagOverride: fields.flag('EnableTagOverride'),
  };
}

function readCatalogCheck(node: string, value: unknown) {
  const fields = new Fields(
    value,
    'Node CheckID Name Status Notes Output ServiceID ServiceName ServiceTags Type Definition ' +
      'Namespace CreateIndex ModifyIndex',
  );
  const name = fields.text('Name');
  return {
    node,
    id: fields.text('CheckID') || name,
    name,
    status: fields.text('Status') || 'critical',
    notes: fields.text('Notes'),
    output: fields.text('Output'),
    serviceId: fields.text('ServiceID'),
    type: fields.text('Type'),
  };
}

/** Takes out a service, a check, or without either the whole node. */
function deregister(catalog: Catalog, body: unknown): void {
  const fields = new Fields(body, 'Node ServiceID CheckID Address Datacenter Namespace Token');
  const node = fields.text('Node');
  if (node === '') throw new Refusal(500, 'Must provide node');
  const service = fields.text('ServiceID');
  const check = fields.text('CheckID');
  if (service !== '') catalog.removeService(node, service);
  else if (check !== '') catalog.removeCheck(node, check);
  else catalog.removeNode(node);
}
