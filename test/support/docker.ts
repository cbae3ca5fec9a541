// Settings of the Docker provider for tests.
import { parseEngineAddress } from '../../src/model/engine-address.ts';
import type { DockerSettings } from '../../src/model/registries/docker.ts';

export function dockerSettings(more: Partial<DockerSettings> = {}): DockerSettings {
  return {
    addresses: [parseEngineAddress('/var/run/docker.sock')],
    tls: { caFile: '', certFile: '', keyFile: '', serverName: '', verify: true },
    place: 'auto',
    host: '',
    network: '',
    declaredChecks: true,
    selfDescribed: true,
    labelPrefix: 'upriver',
    virtualHosts: { kind: 'tcp', host: '', port: 80 },
    listenAllow: [{ kind: 'tcp', network: '', from: 1, to: 65_535 }],
    endpointDeny: [],
    ...more,
  };
}
