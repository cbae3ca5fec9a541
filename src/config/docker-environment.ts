// TLS towards a container engine by the variables of Docker's command line: DOCKER_CERT_PATH is a folder
// with ca.pem, cert.pem and key.pem, ~/.docker where only DOCKER_TLS_VERIFY is set; without the
// latter the engine's certificate is not checked.
import type { Tree } from './tree.ts';

const DOCKER = 'registries.docker';

/** What they say of the engine that DOCKER_HOST names; nothing for a socket. */
export function dockerTls(env: Readonly<Record<string, string | undefined>>): {
  readonly tree: Tree;
  /** Dotted place -> the variable it came from. */
  readonly origins: ReadonlyMap<string, string>;
} {
  const { DOCKER_HOST = '', DOCKER_TLS_VERIFY = '', DOCKER_CERT_PATH = '', HOME = '/' } = env;
  const isTls = DOCKER_TLS_VERIFY !== '' || DOCKER_CERT_PATH !== '';
  if (!/^tcp:\/\//i.test(DOCKER_HOST) || !isTls) return { tree: {}, origins: new Map() };
  const folder = DOCKER_CERT_PATH === '' ? `${HOME}/.docker` : DOCKER_CERT_PATH;
  const by = DOCKER_CERT_PATH === '' ? 'DOCKER_TLS_VERIFY' : 'DOCKER_CERT_PATH';
  const tls = {
    ...(DOCKER_TLS_VERIFY === '' ? {} : { ca_file: `${folder}/ca.pem` }),
    cert_file: `${folder}/cert.pem`,
    key_file: `${folder}/key.pem`,
    verify: DOCKER_TLS_VERIFY === '' ? 'false' : 'true',
  };
  return {
    tree: { registries: { docker: { tls } } },
    origins: new Map([
      ...['ca_file', 'cert_file', 'key_file'].map((key) => [`${DOCKER}.tls.${key}`, by] as const),
      [`${DOCKER}.tls.verify`, 'DOCKER_TLS_VERIFY'],
    ]),
  };
}
