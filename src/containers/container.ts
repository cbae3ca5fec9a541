// A container as its engine describes it (GET /containers/ID/json), with the fields that matter here.
// Foreign data: every field may be missing, null or of another type, and is looked at before it is
// used. Docker and Podman differ in small things, which end here. Pure.
import { fieldsOf, listOf, textOf } from '../base/foreign.ts';
import { BOUNDS } from '../model/bounds.ts';

export interface PortBinding {
  /** '' where it was not given: every address of the machine. */
  readonly hostIp: string;
  readonly hostPort: number;
}

export interface ContainerNetwork {
  readonly name: string;
  readonly id: string;
  readonly address: string;
  /** IPv6, '' for none. */
  readonly address6: string;
}

/** What HEALTHCHECK says; none where there is none. */
export type ContainerHealth = 'none' | 'starting' | 'healthy' | 'unhealthy';

export interface Container {
  readonly id: string;
  /** Without the slash before it. */
  readonly name: string;
  readonly image: string;
  readonly hostname: string;
  /** KEY=VALUE. */
  readonly env: readonly string[];
  readonly labels: ReadonlyMap<string, string>;
  /** `80/tcp` by EXPOSE or --expose. */
  readonly exposed: readonly string[];
  /** What the engine says of ports; without a binding a port is exposed and not published. */
  readonly ports: ReadonlyMap<string, readonly PortBinding[]>;
  /** bridge, default, host, none, container:ID, or the name of a network. */
  readonly networkMode: string;
  readonly networks: readonly ContainerNetwork[];
  readonly phase: 'running' | 'paused' | 'gone';
  readonly health: ContainerHealth;
  /** The output of the last health check that failed; '' for none. */
  readonly healthText: string;
  /** When it was started last, ns since the epoch by the engine's clock; 0 where it is not known. */
  readonly startedNs: bigint;
  readonly exitCode: number;
  /** The number of the signal by which it is stopped. */
  readonly stopSignal: number;
  /** How long it may take to stop, s. */
  readonly stopTimeout: number;
}

type Json = Readonly<Record<string, unknown>>;

const TEXT_MAX = 200;
const PORTS_MAX = BOUNDS.containerServices.max;

/** Null for what is no container. */
export function containerOf(body: unknown): Container | null {
  const root = fieldsOf(body);
  const config = fieldsOf(root.Config);
  const state = fieldsOf(root.State);
  const settings = fieldsOf(root.NetworkSettings);
  const host = fieldsOf(root.HostConfig);
  const id = textOf(root.Id);
  if (!/^[0-9a-f]{12,128}$/.test(id)) return null;
  const labels = entriesOf(config.Labels).flatMap(([key, value]) =>
    typeof value === 'string' && isShort(key + value) ? [[key, value] as const] : [],
  );
  return {
    id,
    name: textOf(root.Name).replace(/^\//, ''),
    image: textOf(config.Image) || textOf(root.ImageName),
    hostname: textOf(config.Hostname),
    env: listOf(config.Env).filter(isShortText).slice(0, BOUNDS.containerLabels.max),
    labels: new Map(labels.slice(0, BOUNDS.containerLabels.max)),
    exposed: Object.keys(fieldsOf(config.ExposedPorts)).filter(isPort).slice(0, PORTS_MAX),
    ports: new Map(
      entriesOf(settings.Ports)
        .filter(([port]) => isPort(port))
        .slice(0, PORTS_MAX)
        .map(([port, bindings]) => [port, bindingsOf(bindings)]),
    ),
    networkMode: textOf(host.NetworkMode),
    networks: networksOf(settings),
    phase: phaseOf(state),
    ...healthOf(state),
    startedNs: nanosecondsOf(textOf(state.StartedAt)),
    exitCode: typeof state.ExitCode === 'number' ? state.ExitCode : 0,
    stopSignal: signalOf(config.StopSignal) || SIGTERM,
    stopTimeout: typeof config.StopTimeout === 'number' ? config.StopTimeout : 10,
  };
}

/** What is of use in the list of containers (GET /containers/json). */
export interface ListedContainer {
  readonly id: string;
  /** Changes when it is looked at anew: what it does, and its health. */
  readonly summary: string;
}

/** The containers in an answer to `GET /containers/json`; what is malformed in it is left out. */
export function listedOf(body: unknown): ListedContainer[] {
  return listOf(body).flatMap((one) => {
    const { Id, State, Status } = fieldsOf(one);
    const id = textOf(Id);
    if (id === '') return [];
    const health = /\((?:health: )?(\w+)\)/.exec(textOf(Status))?.[1] ?? '';
    return [{ id, summary: `${textOf(State)} ${health}` }];
  });
}

const SIGTERM = 15;

/** Numbers of the signals by which a container may be stopped. */
const SIGNALS: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ABRT: 6,
  KILL: 9,
  USR1: 10,
  USR2: 12,
  TERM: SIGTERM,
  WINCH: 28,
  PWR: 30,
  RTMIN: 34,
};

/** `15`, `TERM`, `SIGTERM`, `SIGRTMIN+3`; 0 where it is none that is known. */
export function signalOf(value: unknown): number {
  const text = typeof value === 'number' ? String(value) : textOf(value).toUpperCase();
  if (/^\d{1,3}$/.test(text)) return Number(text);
  const [, name = '', more = '0'] = /^(?:SIG)?([A-Z]+\d?)(?:\+(\d{1,2}))?$/.exec(text) ?? [];
  const number = SIGNALS[name];
  return number === undefined ? 0 : number + Number(more);
}

/** Which of the state's flags counts: newer engines and Podman say it in one word. */
function phaseOf(state: Json): Container['phase'] {
  const status = textOf(state.Status);
  if (status === 'paused' || state.Paused === true) return 'paused';
  if (status !== '') return status === 'running' ? 'running' : 'gone';
  return state.Running === true && state.Restarting !== true ? 'running' : 'gone';
}

function healthOf(state: Json): Pick<Container, 'health' | 'healthText'> {
  // Podman calls it Healthcheck.
  const health = fieldsOf(state.Health ?? state.Healthcheck);
  const status = textOf(health.Status);
  const isKnown = status === 'starting' || status === 'healthy' || status === 'unhealthy';
  if (!isKnown) return { health: 'none', healthText: '' };
  const failed = listOf(health.Log)
    .map(fieldsOf)
    .findLast((one) => one.ExitCode !== 0);
  const text = textOf(failed?.Output).trim().replaceAll(/\s+/g, ' ').slice(0, TEXT_MAX);
  return { health: status, healthText: status === 'unhealthy' ? text : '' };
}

/** Docker lists each binding twice, for IPv4 and IPv6. */
function bindingsOf(value: unknown): PortBinding[] {
  return listOf(value).flatMap((one) => {
    const { HostIp, HostPort } = fieldsOf(one);
    const hostPort = typeof HostPort === 'number' ? HostPort : Number(textOf(HostPort));
    const isGood = Number.isInteger(hostPort) && hostPort >= 1 && hostPort <= 65_535;
    return isGood ? [{ hostIp: textOf(HostIp), hostPort }] : [];
  });
}

/** Docker 29 has no address beside those of the networks; older engines may have it alone. */
function networksOf(settings: Json): ContainerNetwork[] {
  const networks = entriesOf(settings.Networks).map(([name, value]) => {
    const { NetworkID, IPAddress, GlobalIPv6Address } = fieldsOf(value);
    const [address, address6] = [textOf(IPAddress), textOf(GlobalIPv6Address)];
    return { name, id: textOf(NetworkID), address, address6 };
  });
  if (networks.length > 0) return networks;
  const address = textOf(settings.IPAddress);
  return address === '' ? [] : [{ name: 'bridge', id: '', address, address6: '' }];
}

function nanosecondsOf(text: string): bigint {
  const [, seconds = '', fraction = '', zone = 'Z'] =
    /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)$/.exec(text) ?? [];
  const ms = Date.parse(`${seconds}${zone}`);
  // Year 1 is how Go says never.
  if (!(ms > 0)) return 0n;
  return BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}

function isPort(text: string): boolean {
  const [, port = ''] = /^(\d{1,5})\/(?:tcp|udp|sctp)$/.exec(text) ?? [];
  return Number(port) >= 1 && Number(port) <= 65_535;
}

function isShortText(value: unknown): value is string {
  return typeof value === 'string' && isShort(value);
}

function isShort(text: string): boolean {
  return text.length <= BOUNDS.containerText.max;
}

function entriesOf(value: unknown): [string, unknown][] {
  return Object.entries(fieldsOf(value));
}
