// What the containers of an engine mean for us: pure. Each container is looked at by itself, and odd
// ones spoil nothing for the others. A container may be the endpoint of several services: one for each
// port by Registrator's rules, and one for each virtual host.
import type { Container } from '../../containers/container.ts';
import { ownAddress, type ServiceRules, servicesOf } from '../../containers/container-services.ts';
import type { KnownContainer } from '../../containers/container-watch.ts';
import { metadataOf } from '../../containers/metadata.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { formatListen } from '../../model/listener.ts';
import type { DockerSettings } from '../../model/registries/docker.ts';
import { declaredCheck } from '../declared-check.ts';
import type { ServiceSettings } from '../provider.ts';
import { type Entry, ownWeight } from '../self-description.ts';
import { type VirtualHost, virtualHostsOf } from './virtual-hosts.ts';

/** A container as the endpoint of one service. */
export interface Instance {
  /** The service. */
  readonly name: string;
  readonly endpoint: Endpoint;
  readonly tags: readonly string[];
  /** What it says of the service, to be weighed with what the others say. */
  readonly entry: Entry;
  /** Of a virtual host: what the service is served by, whatever else is said. */
  readonly route: ServiceSettings | null;
  /** What is wrong with the check that it declares, human-readable. */
  readonly problems: readonly string[];
}

export interface Translation {
  readonly instances: readonly Instance[];
  readonly problems: readonly string[];
}

export interface TranslateRules {
  readonly settings: DockerSettings;
  /** The address of the engine's host. */
  readonly hostAddress: string;
  /** Upriver is a container of this engine: what is published is not on its own loopback. */
  readonly isInside: boolean;
  readonly containerOf: ServiceRules['containerOf'];
  readonly driverOf: ServiceRules['driverOf'];
}

/** The endpoints that a container is; none while it is paused. */
export function translate(known: KnownContainer, rules: TranslateRules): Translation {
  const { container } = known;
  const { settings } = rules;
  if (container.phase !== 'running') return { instances: [], problems: [] };
  const wanted = settings.selfDescribed ? virtualHostsOf(container) : { hosts: [], problems: [] };
  const state = stateOf(known);
  const services = servicesOf(container, serviceRules(container, rules));
  const instances = services.flatMap((service): Instance[] => {
    if (service.ip === '') return [];
    const { exposedPort, protocol, tags, ip: address, port } = service;
    const isUdp = protocol === 'udp';
    const id = `${container.name}:${exposedPort}${isUdp ? '/udp' : ''}`;
    const said = [...tags, ...labelTags(container, settings.labelPrefix, exposedPort)];
    const entry = entryOf(id, said, container);
    const weight = ownWeight(entry, settings.labelPrefix) ?? 1;
    // What answers by UDP has no check by HTTP or TCP, although other ports of the container may.
    const { check, problems } = checkOf(id, isUdp ? {} : service.attributes, settings);
    const transport = isUdp ? { transport: 'udp' as const } : {};
    const endpoint = { id, address, port, ...state(weight), ...check, ...transport };
    return [{ name: service.name, endpoint, tags, entry, route: null, problems }];
  });
  const problems = [...wanted.problems];
  const routed = wanted.hosts.flatMap((host) => {
    const place = virtualPlace(container, host.port, rules);
    if (place === null) {
      const expected = 'expected a published port, or registries.docker.endpoints: auto';
      problems.push(`VIRTUAL_HOST=${host.host}: port ${host.port} is not published: ${expected}`);
      return [];
    }
    return [virtualInstance(container, { host, place, state, settings })];
  });
  return { instances: [...instances, ...routed], problems };
}

/** Published ports or own addresses, as the settings say and, with auto, as it is reached. */
function serviceRules(container: Container, rules: TranslateRules): ServiceRules {
  const { settings, hostAddress, containerOf, driverOf } = rules;
  return {
    hostname: '',
    hostAddress,
    ip: '',
    isExplicit: false,
    ipLabel: '',
    network: settings.network,
    containerOf,
    driverOf,
    isInternal: isInternal(container, rules),
  };
}

function isInternal(container: Container, { settings, isInside }: TranslateRules): boolean {
  if (settings.place !== 'auto') return settings.place === 'container';
  if (isInside) return true;
  const isPublished = [...container.ports.values()].some((bindings) => bindings.length > 0);
  return !isPublished && asksToBeServed(container, settings.labelPrefix);
}

/** It says more of itself than that there is a port: it is meant to be found. */
function asksToBeServed(container: Container, prefix: string): boolean {
  const isNamed = [...container.exposed, ...container.ports.keys()].some((port) =>
    metadataOf(container, Number.parseInt(port, 10)).values.get('name'),
  );
  return isNamed || [...container.labels.keys()].some((label) => label.startsWith(`${prefix}.`));
}

type State = (weight: number) => Pick<Endpoint, 'weight' | 'status' | 'statusText'>;

/** HEALTHCHECK decides, where there is one; what is about to end drains. */
function stateOf({ container, stopping }: KnownContainer): State {
  const { health, healthText } = container;
  if (health === 'unhealthy') {
    const text = healthText === '' ? 'unhealthy' : `unhealthy: ${healthText}`;
    return (weight) => ({ weight, status: 'critical', statusText: text });
  }
  if (health === 'starting') {
    const text = 'starting: waits for its first health check';
    return (weight) => ({ weight, status: 'critical', statusText: text });
  }
  if (stopping !== '') {
    return () => ({ weight: 0, status: 'passing', statusText: `stopping: ${stopping}` });
  }
  return (weight) => ({ weight, status: 'passing', statusText: '' });
}

/** The check that SERVICE_CHECK_* declare, as a field of the endpoint; none where none is wanted. */
function checkOf(
  id: string,
  attributes: Readonly<Record<string, string>>,
  { declaredChecks }: DockerSettings,
): { check: Pick<Endpoint, 'check'>; problems: string[] } {
  if (!declaredChecks) return { check: {}, problems: [] };
  const { check, problems } = declaredCheck(attributes);
  return {
    check: check === null ? {} : { check },
    problems: problems.map((problem) => `instance ${id}: ${problem}`),
  };
}

/** Labels `PREFIX.key` and, for one port of several, `PREFIX.PORT.key`, as tags. */
function labelTags({ labels }: Container, prefix: string, port: number): string[] {
  return [...labels].flatMap(([label, value]) => {
    if (!label.startsWith(`${prefix}.`)) return [];
    const key = label.slice(prefix.length + 1);
    const [, number = '', rest = ''] = /^(\d+)\.(.+)$/.exec(key) ?? [];
    if (number === '') return [`${prefix}.${key}=${value}`];
    return Number(number) === port ? [`${prefix}.${rest}=${value}`] : [];
  });
}

function entryOf(id: string, tags: readonly string[], { startedNs }: Container): Entry {
  // Who was started first said so first.
  return { Service: { ID: id, Tags: tags, ModifyIndex: Number(startedNs / 1_000_000n) } };
}

interface Place {
  readonly address: string;
  readonly port: number;
}

/** Where this port of a container is reached; null where it isn't. */
function virtualPlace(container: Container, port: number, rules: TranslateRules): Place | null {
  const { settings, hostAddress, isInside } = rules;
  if (container.networkMode === 'host') return { address: hostAddress, port };
  const [binding] = container.ports.get(`${port}/tcp`) ?? [];
  const isOwn = settings.place === 'container' || (settings.place === 'auto' && isInside);
  if (binding !== undefined && !isOwn) {
    const isAny = ['', '0.0.0.0', '::'].includes(binding.hostIp);
    return { address: isAny ? hostAddress : binding.hostIp, port: binding.hostPort };
  }
  if (settings.place === 'published') return null;
  const owner = /^container:([0-9a-f]+)$/.exec(container.networkMode)?.[1];
  const shared = owner === undefined ? container : (rules.containerOf(owner) ?? container);
  const address = ownAddress(shared, settings);
  return address === '' ? null : { address, port };
}

interface Making {
  readonly host: VirtualHost;
  readonly place: Place;
  readonly state: State;
  readonly settings: DockerSettings;
}

function virtualInstance(container: Container, making: Making): Instance {
  const { host, place, state, settings } = making;
  const { name, port, strip, prefix, path } = host;
  const id = `${container.name}:${port}`;
  const tags = labelTags(container, settings.labelPrefix, port);
  const entry = entryOf(id, tags, container);
  const weight = ownWeight(entry, settings.labelPrefix) ?? 1;
  const attributes = Object.fromEntries(metadataOf(container, port).values);
  const { check, problems } = checkOf(id, attributes, settings);
  const listen = settings.virtualHosts;
  return {
    name,
    endpoint: { id, ...place, ...state(weight), ...check },
    problems,
    tags: [],
    entry,
    route:
      listen === null
        ? null
        : {
            'route.listen': formatListen(listen),
            'route.host': host.host,
            'route.path': path,
            ...(strip === '' ? {} : { 'route.strip': strip }),
            ...(prefix === '' ? {} : { 'route.prefix': prefix }),
          },
  };
}
