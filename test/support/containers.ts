// Containers as an engine describes them, for tests of what is made of them.
import { type Container, containerOf } from '../../src/containers/container.ts';
import type { ServiceRules } from '../../src/containers/container-services.ts';

export interface ContainerSpec {
  readonly id?: string;
  readonly name?: string;
  readonly image?: string;
  readonly env?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  /** `80/tcp`. */
  readonly exposed?: readonly string[];
  /** `80/tcp` -> `32768`, `10.0.0.1:80`, or '' for none. */
  readonly published?: Readonly<Record<string, string>>;
  readonly networkMode?: string;
  /** Name -> address. */
  readonly networks?: Readonly<Record<string, string>>;
  readonly health?: string;
  readonly healthOutput?: string;
  readonly status?: string;
  readonly startedAt?: string;
  readonly stopSignal?: string;
}

export const CONTAINER_ID = 'c0ffee'.padEnd(64, '0');

/** GET /containers/ID/json, as Docker 20.10 answers it. */
export function inspection(spec: ContainerSpec = {}): Record<string, unknown> {
  const { networks = { bridge: '172.17.0.2' }, status = 'running', health } = spec;
  const ports = Object.entries(spec.published ?? {}).map(([port, binding]) => {
    if (binding === '') return [port, null];
    const at = binding.lastIndexOf(':');
    const [HostIp, HostPort] = [at < 0 ? '0.0.0.0' : binding.slice(0, at), binding.slice(at + 1)];
    // Docker lists what is open on every address twice.
    const six = HostIp === '0.0.0.0' ? [{ HostIp: '::', HostPort }] : [];
    return [port, [{ HostIp, HostPort }, ...six]];
  });
  const log = [
    { ExitCode: 0, Output: 'old' },
    { ExitCode: 1, Output: spec.healthOutput ?? '' },
  ];
  return {
    Id: spec.id ?? CONTAINER_ID,
    Name: `/${spec.name ?? 'web'}`,
    Image: 'sha256:3ccb1fbfc52b65d502b0b324a075bac51bd3650e217f1520bacfc698f1ea79d9',
    State: {
      Status: status,
      Running: status === 'running' || status === 'paused',
      Paused: status === 'paused',
      StartedAt: spec.startedAt ?? '2026-11-21T18:50:52.066155471Z',
      ExitCode: 0,
      ...(health === undefined ? {} : { Health: { Status: health, Log: log } }),
    },
    HostConfig: { NetworkMode: spec.networkMode ?? 'default' },
    Config: {
      Hostname: (spec.id ?? CONTAINER_ID).slice(0, 12),
      Image: spec.image ?? 'whoami',
      Env: spec.env ?? null,
      Labels: spec.labels ?? {},
      ExposedPorts: Object.fromEntries(
        (spec.exposed ?? Object.keys(spec.published ?? {})).map((port) => [port, {}]),
      ),
      ...(spec.stopSignal === undefined ? {} : { StopSignal: spec.stopSignal }),
    },
    NetworkSettings: {
      Ports: Object.fromEntries(ports),
      Networks: Object.fromEntries(
        Object.entries(networks).map(([name, IPAddress]) => [
          name,
          { NetworkID: `id-of-${name}`, IPAddress },
        ]),
      ),
    },
  };
}

export function container(spec: ContainerSpec = {}): Container {
  const made = containerOf(inspection(spec));
  if (made === null) throw new Error(`no container: ${JSON.stringify(spec)}`);
  return made;
}

/** Registrator's without flags, on a host of this name and address. */
export function rules(more: Partial<ServiceRules> = {}): ServiceRules {
  return {
    hostname: 'hostname',
    hostAddress: '192.168.1.102',
    ip: '',
    isInternal: false,
    isExplicit: false,
    ipLabel: '',
    containerOf: () => null,
    driverOf: () => 'bridge',
    ...more,
  };
}
