// The services of a container as docker-register names them: the image's repository, the first twelve
// digits of the container's id, the address HOST_IP. One with several published ports, which
// docker-register leaves out, has a service for each, as the fork of it with several ports: REPOSITORY-PORT.
// Pure.
import type { Container } from '../containers/container.ts';
import type { ContainerService } from '../containers/container-services.ts';

/** `hostIp`: the address that all of them get. */
export function dockerRegisterServices(container: Container, hostIp: string): ContainerService[] {
  const published = [...container.ports].flatMap(([key, [binding]]) =>
    binding === undefined || !key.endsWith('/tcp') ? [] : [{ key, binding }],
  );
  const repository = repositoryOf(container.image);
  if (repository === '') return [];
  return published.map(({ key, binding }) => {
    const exposedPort = Number.parseInt(key, 10);
    return {
      id: container.id.slice(0, 12),
      name: published.length === 1 ? repository : `${repository}-${exposedPort}`,
      ip: hostIp,
      port: binding.hostPort,
      tags: [],
      attributes: {},
      containerId: container.id,
      exposedPort,
      protocol: 'tcp',
      isNamed: false,
    };
  });
}

/** The image without registry or user, tag and digest: `jwilder/whoami:v1` is whoami. */
function repositoryOf(image: string): string {
  const parts = image.split('/');
  const rest = parts.length > 1 ? parts.slice(1) : parts;
  return rest.join('/').split(/[:@]/)[0]!;
}
