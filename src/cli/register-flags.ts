// The command line of Registrator, as it is written in the field: `-flag value`, `-flag=value`,
// `--flag`, names with capitals, times in whole seconds. All of it becomes what parseArgs reads.
import type { Flag } from './command.ts';
import { LOG_FLAGS } from './log-flags.ts';

export const REGISTER_FLAGS: readonly Flag[] = [
  { name: 'ip', value: 'ADDRESS', environment: '', help: 'address of published ports' },
  {
    name: 'internal',
    value: '',
    environment: '',
    help: "register containers' own addresses and exposed ports",
  },
  {
    name: 'explicit',
    value: '',
    environment: '',
    help: 'register only containers that say SERVICE_NAME',
  },
  {
    name: 'useIpFromLabel',
    value: 'LABEL',
    environment: '',
    help: "a label that holds the container's address",
  },
  {
    name: 'tags',
    value: 'TAGS',
    environment: '',
    help: 'more tags for all services, separated by commas; may be a template',
  },
  {
    name: 'cleanup',
    value: '',
    environment: '',
    help: 'remove registrations from this host whose containers are gone',
  },
  {
    name: 'deregister',
    value: 'MODE',
    environment: '',
    help: 'always, or on-success: keep containers that ended with a failure (default: always)',
  },
  {
    name: 'deregister-on-exit',
    value: '',
    environment: '',
    help: 'deregister everything when the registrar ends',
  },
  {
    name: 'resync',
    value: 'SECONDS',
    environment: '',
    help: 'interval at which everything is registered again (default: never)',
  },
  {
    name: 'ttl',
    value: 'SECONDS',
    environment: '',
    help: 'time to live of registrations in etcd (default: no end; 15 for docker-register)',
  },
  {
    name: 'ttl-refresh',
    value: 'SECONDS',
    environment: '',
    help: 'how often the time to live is renewed; required with --ttl',
  },
  {
    name: 'retry-attempts',
    value: 'N',
    environment: '',
    help: 'retries to reach the registry at the start; -1: unlimited (default: 0)',
  },
  {
    name: 'retry-interval',
    value: 'MS',
    environment: '',
    help: 'milliseconds between two retries (default: 2000)',
  },
  {
    name: 'hostname',
    value: 'NAME',
    environment: '',
    help: "the host's name in service ids (default: the machine's)",
  },
  {
    name: 'docker',
    value: 'SOCKET',
    environment: 'DOCKER_HOST',
    help: 'the engine (default: the usual sockets of Docker and Podman)',
  },
  ...LOG_FLAGS,
];

/** The same words with two dashes before each flag, and values joined to their flags. */
export function normalizeRegisterArgs(argv: readonly string[]): string[] {
  const words: string[] = [];
  for (let i = 0; i < argv.length; i += 1) {
    const word = argv[i]!;
    const [, name = '', joined] = /^--?([A-Za-z][A-Za-z-]*)(=[\s\S]*)?$/.exec(word) ?? [];
    const flag = REGISTER_FLAGS.find((one) => one.name.toLowerCase() === name.toLowerCase());
    if (flag === undefined) words.push(name === '' ? word : `--${name}${joined ?? ''}`);
    else if (flag.value === '') {
      // Go's switches may be given a value.
      const isOff = joined !== undefined && /^=(0|f|F|false|FALSE|False)$/.test(joined);
      if (!isOff) words.push(`--${flag.name}`);
    } else if (joined !== undefined) words.push(`--${flag.name}${joined}`);
    else if (i + 1 < argv.length) {
      i += 1;
      words.push(`--${flag.name}=${argv[i]}`);
    } else words.push(`--${flag.name}`);
  }
  return words;
}
