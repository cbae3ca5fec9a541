// What Consul answers about a state of its catalog: pure. Shapes and indexes as of Consul 1.8.
import { addressOf, type Instance, NODES, type State } from './truth.ts';

export interface Answered {
  readonly status: number;
  /** Null: no X-Consul-Index is sent. */
  readonly index: number | null;
  /** JSON, or text as it is; made when it is sent, since mostly the index alone is looked at. */
  readonly body: () => unknown;
}

/** `search` are the parameters of the question. */
export function answerOf(state: State, path: string, search: URLSearchParams): Answered {
  const [, , area = '', kind = '', ...rest] = path.split('/').map(decodeURIComponent);
  const name = rest.join('/');
  switch (`${area}/${kind}`) {
    case 'health/service':
      return healthOf(state, name, search);
    case 'health/state':
      return { status: 200, index: state.checksIndex, body: () => checksIn(state, name) };
    case 'catalog/services':
      return { status: 200, index: state.catalogIndex, body: () => servicesOf(state) };
    case 'catalog/nodes': {
      const body = () => NODES.map((node) => ({ Node: node, Address: addressOf(node) }));
      return { status: 200, index: 5, body };
    }
    case 'catalog/node':
      return { status: 200, index: state.catalogIndex, body: () => nodeOf(state, name) };
    case 'internal/ui':
      return { status: 200, index: state.checksIndex, body: () => summaryOf(state) };
    case 'session/info': {
      const node = NODES.find((one) => name === `session-${one}`);
      const body = () => (node === undefined ? [] : [{ Node: node }]);
      return { status: 200, index: Math.max(1, state.keysIndex), body };
    }
    case 'status/leader':
      return { status: 200, index: null, body: () => '10.9.0.1:8300' };
    case 'acl/token':
      return { status: 401, index: null, body: () => 'ACL support disabled' };
  }
  if (area === 'kv') return keyOf(state, [kind, ...rest].join('/'));
  return { status: 404, index: null, body: () => 'no such path' };
}

function healthOf(state: State, name: string, search: URLSearchParams): Answered {
  const index = state.serviceIndexes.get(name) ?? state.extinctIndex;
  return { status: 200, index, body: () => entriesOf(state, name, search.get('tag')) };
}

function entriesOf(state: State, name: string, tag: string | null): object[] {
  return [...state.instances.values()]
    .filter((one) => one.service === name && (tag === null || one.tags.includes(tag)))
    .map((one) => ({
      Node: { Node: one.node, Address: addressOf(one.node) },
      Service: {
        ...{ ID: one.id, Service: one.service, Address: one.address, Port: one.port },
        ...{ Tags: one.tags, Meta: one.meta, ModifyIndex: one.index },
        Weights: { Passing: one.weight, Warning: 1 },
      },
      Checks: checksOf(state, one),
    }));
}

function checksOf(state: State, one: Instance): object[] {
  const of = { Node: one.node };
  const own = { ...of, ServiceName: one.service, ModifyIndex: one.checkIndex };
  const checks: object[] = [{ ...of, CheckID: 'serfHealth', Status: 'passing', ServiceName: '' }];
  if (state.maintained.has(one.node)) checks.push(nodeMaintenance(one.node));
  checks.push({ ...own, CheckID: `service:${one.id}`, Status: one.status, Output: 'as it is' });
  if (one.isInMaintenance) {
    const CheckID = `_service_maintenance:${one.id}`;
    checks.push({ ...own, CheckID, Status: 'critical', Notes: 'by plan' });
  }
  return checks;
}

function nodeMaintenance(node: string): object {
  return { Node: node, CheckID: '_node_maintenance', Status: 'critical', ServiceName: '' };
}

function checksIn(state: State, status: string): object[] {
  const checks = [...state.instances.values()].flatMap((one) =>
    checksOf(state, one).filter((check) => 'ModifyIndex' in check),
  );
  const nodes = [...state.maintained].map(nodeMaintenance);
  return [...checks, ...nodes].filter((check) => (check as { Status: string }).Status === status);
}

function servicesOf(state: State): Record<string, string[]> {
  const services: Record<string, string[]> = { consul: [] };
  for (const { service, tags } of state.instances.values()) {
    services[service] = [...new Set([...(services[service] ?? []), ...tags])];
  }
  return services;
}

function nodeOf(state: State, node: string): object {
  const own = [...state.instances.values()].filter((one) => one.node === node);
  const services = own.map((one) => [
    one.id,
    { ID: one.id, Service: one.service, ModifyIndex: one.index, Meta: one.meta },
  ]);
  return { Node: { Node: node }, Services: Object.fromEntries(services) };
}

function summaryOf(state: State): object[] {
  const names = new Set([...state.instances.values()].map(({ service }) => service));
  const line = (Name: string): object => {
    const own = [...state.instances.values()].filter(({ service }) => service === Name);
    const count = (status: string) => own.filter((one) => one.status === status).length;
    return {
      ...{ Name, InstanceCount: own.length, ChecksPassing: count('passing') + own.length },
      ...{ ChecksWarning: count('warning'), ChecksCritical: count('critical') },
    };
  };
  return [{ Name: 'consul', InstanceCount: 1, ChecksPassing: 1 }, ...[...names].map(line)];
}

function keyOf(state: State, key: string): Answered {
  const known = state.keys.get(key);
  // Without the key the index is that of the store, so that its making wakes the query.
  if (known === undefined)
    return { status: 404, index: Math.max(1, state.keysIndex), body: () => '' };
  const { text, index, session } = known;
  const Value = Buffer.from(text).toString('base64');
  const lock = session === '' ? {} : { Session: session };
  return { status: 200, index, body: () => [{ Key: key, Value, ModifyIndex: index, ...lock }] };
}
