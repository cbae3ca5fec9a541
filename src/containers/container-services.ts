// The services of a container by Registrator's rules: which ports become services, how they are
// called, where they are reached. The provider serves them, the registrar registers them. Pure.
// Where it differs from Registrator (docs/register.md has the list), Registrator's result could not
// be connected to, or was the name of an image with a part of its digest.
import { isUnspecified, parseIp } from '../base/ip-address.ts';
import { BOUNDS } from '../model/bounds.ts';
import type { Container, ContainerNetwork } from './container.ts';
import { type Metadata, metadataOf, splitTags } from './metadata.ts';

export interface ContainerService {
  /** `HOST:CONTAINER:PORT`, `:udp` behind it for UDP, or what SERVICE_ID says. */
  readonly id: string;
  readonly name: string;
  readonly ip: string;
  readonly port: number;
  readonly tags: readonly string[];
  /** What else SERVICE_* says, by key in lower case. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly containerId: string;
  /** The port within the container. */
  readonly exposedPort: number;
  readonly protocol: string;
  /** The container says by SERVICE_NAME what the service is called. */
  readonly isNamed: boolean;
}

export interface ServiceRules {
  /** The host's name, for ids. */
  readonly hostname: string;
  /** Where ports are reached that are published on every address of the host. */
  readonly hostAddress: string;
  /** Put in the place of every published address; '' for none. */
  readonly ip: string;
  /** The container's own addresses and ports, published or not. */
  readonly isInternal: boolean;
  /** Containers that don't name their service have none. */
  readonly isExplicit: boolean;
  /** The label with a container's address; '' for none. */
  readonly ipLabel: string;
  /** The network whose address is taken where a container is in several; '' for its own choice. */
  readonly network?: string;
  /** More tags for all services of a container, separated by commas. */
  readonly tagsOf?: (container: Container) => string;
  /** The container of this id, for those that share its network; null where there is none. */
  readonly containerOf: (id: string) => Container | null;
  /** `bridge`, `overlay`, ... of a network by its id; '' where it is not known. */
  readonly driverOf: (networkId: string) => string;
}

interface ServicePort {
  readonly exposedPort: number;
  readonly protocol: string;
  readonly hostIp: string;
  /** 0 where it is not published. */
  readonly hostPort: number;
}

/** Services of the container, by port; those that are to be ignored are left out. */
export function servicesOf(container: Container, rules: ServiceRules): ContainerService[] {
  const ports = portsOf(container)
    .filter(({ hostPort }) => rules.isInternal || hostPort !== 0)
    .slice(0, BOUNDS.containerServices.max);
  // Ports that are ignored count: names must not change with that.
  const isGroup = ports.length > 1;
  return ports.flatMap((port) => serviceOf(container, { port, isGroup, rules }) ?? []);
}

/** Ports that are exposed or published, in order. Of several bindings the first counts. */
function portsOf(container: Container): ServicePort[] {
  const ports = new Map<string, ServicePort>();
  const add = (key: string, hostIp: string, hostPort: number): void => {
    const [number = '', protocol = 'tcp'] = key.split('/');
    ports.set(key, { exposedPort: Number(number), protocol, hostIp, hostPort });
  };
  // Without a network of its own, what a container exposes is open on its host.
  for (const key of container.exposed) add(key, '', Number.parseInt(key, 10));
  for (const [key, [binding]] of container.ports) {
    add(key, binding?.hostIp ?? '', binding?.hostPort ?? 0);
  }
  return [...ports.values()].sort(
    (a, b) => a.exposedPort - b.exposedPort || (a.protocol < b.protocol ? -1 : 1),
  );
}

interface Making {
  readonly port: ServicePort;
  readonly isGroup: boolean;
  readonly rules: ServiceRules;
}

function serviceOf(container: Container, making: Making): ContainerService | null {
  const { port, isGroup, rules } = making;
  const { exposedPort, protocol } = port;
  const metadata = metadataOf(container, exposedPort);
  const { values } = metadata;
  // Whatever it says: `false` ignores as well, as it always has.
  if (values.get('ignore')) return null;
  const isNamed = Boolean(values.get('name'));
  if (!isNamed && rules.isExplicit) return null;
  const isUdp = protocol === 'udp';
  const ownId = `${rules.hostname}:${container.name}:${exposedPort}${isUdp ? ':udp' : ''}`;
  const { ip, port: at } = placeOf(container, port, rules);
  return {
    id: values.get('id') || ownId,
    name: nameOf(container, { metadata, exposedPort, isGroup }),
    ip,
    port: at,
    tags: [
      ...splitTags(values.get('tags') ?? ''),
      ...splitTags(rules.tagsOf?.(container) ?? ''),
      ...(isUdp ? ['udp'] : []),
    ],
    attributes: attributesOf(values),
    containerId: container.id,
    exposedPort,
    protocol,
    isNamed,
  };
}

interface Naming {
  readonly metadata: Metadata;
  readonly exposedPort: number;
  readonly isGroup: boolean;
}

/** One name for each of several ports, unless it was given for the very port. */
function nameOf(container: Container, { metadata, exposedPort, isGroup }: Naming): string {
  const name = metadata.values.get('name') || imageName(container.image);
  return isGroup && !metadata.ofPort.has('name') ? `${name}-${exposedPort}` : name;
}

/** `registry:5000/team/web:v1@sha256:...` is called web. */
export function imageName(image: string): string {
  const last = image.split('/').at(-1) ?? '';
  return last.split(/[:@]/)[0] ?? '';
}

function attributesOf(values: ReadonlyMap<string, string>): Record<string, string> {
  const taken = ['id', 'tags', 'name', 'ignore'];
  return Object.fromEntries([...values].filter(([key]) => !taken.includes(key)));
}

function placeOf(
  container: Container,
  { exposedPort, hostIp, hostPort }: ServicePort,
  rules: ServiceRules,
): { ip: string; port: number } {
  const { isInternal, ipLabel, ip: forced } = rules;
  const port = isInternal ? exposedPort : hostPort;
  const ofLabel = ipLabel === '' ? '' : (container.labels.get(ipLabel) ?? '');
  const owner = networkOwner(container, rules);
  if (owner !== null) return { ip: ownAddress(owner, rules), port };
  if (ofLabel !== '') return { ip: ofLabel.replace(/\/[^/]*$/, ''), port };
  const isOnHost = container.networkMode === 'host';
  if (isInternal && !isOnHost) return { ip: ownAddress(container, rules), port };
  if (forced !== '') return { ip: forced, port };
  const routed = routedAddress(container, rules);
  if (routed !== '') return { ip: routed, port: exposedPort };
  return { ip: isAny(hostIp) ? rules.hostAddress : hostIp, port };
}

/** Whose network the container uses, where it is that of another one (as in a pod). */
function networkOwner({ networkMode }: Container, rules: ServiceRules): Container | null {
  const [, id = ''] = /^container:([0-9a-f]+)$/.exec(networkMode) ?? [];
  return id === '' ? null : rules.containerOf(id);
}

/** The container's own address; '' where it has none (on the network of the host). */
export function ownAddress(container: Container, rules: Pick<ServiceRules, 'network'>): string {
  const { networks, networkMode } = container;
  const wanted = rules.network ?? '';
  const named = (name: string) =>
    networks.find((one) => one.name === name && addressOf(one) !== '');
  const preferred = wanted === '' ? undefined : named(wanted);
  const bridge = ['default', 'bridge'].includes(networkMode) ? named('bridge') : undefined;
  const chosen = preferred ?? bridge ?? named(networkMode);
  const any = networks.find((one) => addressOf(one) !== '');
  return addressOf(chosen ?? any ?? null);
}

/** The address in a network that other hosts reach, such as an overlay; '' in none. */
function routedAddress(container: Container, { driverOf }: ServiceRules): string {
  const own = container.networks.find(({ name }) => name === container.networkMode);
  if (own === undefined) return '';
  return ['overlay', 'macvlan', 'ipvlan'].includes(driverOf(own.id)) ? addressOf(own) : '';
}

function addressOf(network: ContainerNetwork | null): string {
  return network === null ? '' : network.address || network.address6;
}

function isAny(hostIp: string): boolean {
  const ip = parseIp(hostIp);
  return ip === null || isUnspecified(ip);
}
