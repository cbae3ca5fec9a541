// The JSON shapes of Consul's answers, made from what the store holds.
import type { Registry } from './embedded-registry.ts';
import type { StoredCheck, StoredService } from './store.ts';

export function nodeShape(node: string, address: string, createIndex: number) {
  return {
    ID: '',
    Node: node,
    Address: address,
    Datacenter: 'dc1',
    TaggedAddresses: { lan: address, wan: address },
    Meta: {},
    CreateIndex: createIndex,
    ModifyIndex: createIndex,
  };
}

/** As in /v1/health/service and /v1/agent/services. */
export function serviceShape(service: StoredService) {
  return {
    ID: service.id,
    Service: service.name,
    Tags: service.tags,
    Address: service.address,
    Meta: service.meta,
    Port: service.port,
    Weights: service.weights,
    EnableTagOverride: false,
    CreateIndex: service.createIndex,
    ModifyIndex: service.modifyIndex,
  };
}

/** As in /v1/catalog/service. */
export function catalogShape(service: StoredService) {
  return {
    ID: '',
    Node: service.node,
    Address: service.nodeAddress,
    Datacenter: 'dc1',
    TaggedAddresses: { lan: service.nodeAddress, wan: service.nodeAddress },
    NodeMeta: {},
    ServiceKind: '',
    ServiceID: service.id,
    ServiceName: service.name,
    ServiceTags: service.tags,
    ServiceAddress: service.address,
    ServiceWeights: service.weights,
    ServiceMeta: service.meta,
    ServicePort: service.port,
    ServiceEnableTagOverride: false,
    CreateIndex: service.createIndex,
    ModifyIndex: service.modifyIndex,
  };
}

export function checkShape(check: StoredCheck, tags: readonly string[]) {
  return {
    Node: check.node,
    CheckID: check.id,
    Name: check.name,
    Status: check.status,
    Notes: check.notes,
    Output: check.output,
    ServiceID: check.serviceId,
    ServiceName: check.serviceName,
    ServiceTags: tags,
    Type: '',
    Definition: {},
    CreateIndex: check.createIndex,
    ModifyIndex: check.modifyIndex,
  };
}

/** The checks that count for a service: its own and those of its node. */
export function checksOf(registry: Registry, service: StoredService): StoredCheck[] {
  return [...registry.store.checks.values()].filter(
    (check) =>
      check.node === service.node && (check.serviceId === '' || check.serviceId === service.id),
  );
}
