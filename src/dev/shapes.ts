// The JSON of Consul's answers, made from what the catalog holds. Which fields are null, {} or left
// out when empty is Consul's own habit, and clients have come to rely on it.
import type { Catalog, StoredCheck, StoredNode, StoredService } from './catalog.ts';
import type { StoredKey } from './key-store.ts';

export const DATACENTER = 'dc1';
const NO_PROXY = { MeshGateway: {}, Expose: {} };

/** As in /v1/catalog/nodes and /v1/health/service. */
export function nodeShape(node: StoredNode) {
  return {
    ID: node.id,
    Node: node.node,
    Address: node.address,
    Datacenter: DATACENTER,
    TaggedAddresses: node.taggedAddresses,
    Meta: node.meta,
    CreateIndex: node.createIndex,
    ModifyIndex: node.modifyIndex,
  };
}

/** As in /v1/health/service. */
export function serviceShape(service: StoredService) {
  return {
    ID: service.id,
    Service: service.name,
    Tags: service.tags,
    Address: service.address,
    ...unlessEmpty('TaggedAddresses', service.taggedAddresses),
    Meta: isEmpty(service.meta) ? null : service.meta,
    Port: service.port,
    Weights: service.weights,
    EnableTagOverride: service.enableTagOverride,
    Proxy: NO_PROXY,
    Connect: {},
    CreateIndex: service.createIndex,
    ModifyIndex: service.modifyIndex,
  };
}

/** As in /v1/agent/services. */
export function agentServiceShape(service: StoredService) {
  return {
    ID: service.id,
    Service: service.name,
    Tags: service.tags,
    Meta: service.meta,
    Port: service.port,
    Address: service.address,
    ...unlessEmpty('TaggedAddresses', service.taggedAddresses),
    Weights: service.weights,
    EnableTagOverride: service.enableTagOverride,
  };
}

/** As in /v1/catalog/service. */
export function catalogShape(service: StoredService, node: StoredNode) {
  return {
    ID: node.id,
    Node: node.node,
    Address: node.address,
    Datacenter: DATACENTER,
    TaggedAddresses: node.taggedAddresses,
    NodeMeta: node.meta,
    ServiceKind: '',
    ServiceID: service.id,
    ServiceName: service.name,
    ServiceTags: service.tags,
    ServiceAddress: service.address,
    ...unlessEmpty('ServiceTaggedAddresses', service.taggedAddresses),
    ServiceWeights: service.weights,
    ServiceMeta: service.meta,
    ServicePort: service.port,
    ServiceEnableTagOverride: service.enableTagOverride,
    ServiceProxy: NO_PROXY,
    ServiceConnect: {},
    CreateIndex: service.createIndex,
    ModifyIndex: service.modifyIndex,
  };
}

/** As in /v1/health; the agent's own answers carry no indexes. */
export function checkShape(catalog: Catalog, check: StoredCheck) {
  return {
    Node: check.node,
    CheckID: check.id,
    Name: check.name,
    Status: check.status,
    Notes: check.notes,
    Output: check.output,
    ServiceID: check.serviceId,
    ServiceName: check.serviceName,
    ServiceTags: catalog.service(check.node, check.serviceId)?.tags ?? [],
    Type: check.type,
    Definition: {},
    CreateIndex: check.createIndex,
    ModifyIndex: check.modifyIndex,
  };
}

/** As in /v1/kv. */
export function keyShape({ key, value, flags, createIndex, modifyIndex }: StoredKey) {
  return {
    LockIndex: 0,
    Key: key,
    Flags: flags,
    Value: value.length === 0 ? null : value.toString('base64'),
    CreateIndex: createIndex,
    ModifyIndex: modifyIndex,
  };
}

function isEmpty(map: object): boolean {
  return Object.keys(map).length === 0;
}

function unlessEmpty(name: string, map: object): Record<string, object> {
  return isEmpty(map) ? {} : { [name]: map };
}

// What the answers look like, for the selectors of filter expressions.

const NOTHING = { createIndex: 0, modifyIndex: 0 };
const SAMPLE_NODE: StoredNode = {
  node: '',
  id: '',
  address: '',
  taggedAddresses: {},
  meta: {},
  ...NOTHING,
};
const SAMPLE_SERVICE: StoredService = {
  node: '',
  id: '',
  name: '',
  tags: [],
  address: '',
  port: 0,
  taggedAddresses: {},
  meta: {},
  weights: { Passing: 1, Warning: 1 },
  enableTagOverride: false,
  ...NOTHING,
};
const SAMPLE_CHECK = {
  Node: '',
  CheckID: '',
  Name: '',
  Status: '',
  Notes: '',
  Output: '',
  ServiceID: '',
  ServiceName: '',
  ServiceTags: [],
  Type: '',
};

export const samples = {
  check: SAMPLE_CHECK,
  node: nodeShape(SAMPLE_NODE),
  agentService: { ...agentServiceShape(SAMPLE_SERVICE), TaggedAddresses: {} },
  catalogService: { ...catalogShape(SAMPLE_SERVICE, SAMPLE_NODE), ServiceTaggedAddresses: {} },
  healthEntry: {
    Node: nodeShape(SAMPLE_NODE),
    Service: { ...serviceShape(SAMPLE_SERVICE), TaggedAddresses: {} },
    Checks: [SAMPLE_CHECK],
  },
};
