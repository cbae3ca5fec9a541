// Every command and flag, once: parsing, help, completion and docs/reference/cli.md read this table.
// A command's code is loaded when it runs, so that `--help` and `healthcheck` start at once.

import { FOLLOWED, FOLLOWED_NAMES } from '../config/registries/table.ts';
import type { Command, Flag, ParsedArguments } from './command.ts';
import { LOG_FLAGS } from './log-flags.ts';
import { normalizeRegisterArgs, REGISTER_FLAGS } from './register-flags.ts';

const CONFIG_FLAGS: readonly Flag[] = [
  {
    name: 'config',
    value: 'FILE',
    environment: 'UPRIVER_CONFIG',
    help: 'YAML file, watched and applied while running',
  },
  ...FOLLOWED_NAMES.flatMap((name) => {
    const { flag } = FOLLOWED[name];
    return flag === null ? [] : [{ name, isRepeatable: true, ...flag }];
  }),
  {
    name: 'register',
    value: 'URI',
    isOptional: true,
    environment: '',
    help: 'register the containers as well, in the registry that is followed or at a URI',
  },
  {
    name: 'register-self',
    value: 'NAME',
    isOptional: true,
    environment: 'UPRIVER_REGISTER_SELF',
    help: 'register this process in Consul, as upriver or by this name, with a tag for each service',
  },
  {
    name: 'static',
    value: 'NAME=HOST:PORT,...',
    environment: '',
    isRepeatable: true,
    help: 'fixed endpoints of a service',
  },
  {
    name: 'service',
    value: 'NAME=PORT,key=value,...',
    environment: 'SERVICE',
    isRepeatable: true,
    help: 'serve a service on a port',
  },
  {
    name: 'stats',
    value: 'ADDR:PORT',
    environment: 'UPRIVER_STATS',
    help: 'dashboard, metrics and API (default :1936)',
  },
  {
    name: 'workers',
    value: 'N',
    environment: 'UPRIVER_WORKERS',
    help: 'data-plane threads (default: the cores it may use)',
  },
  ...LOG_FLAGS,
  {
    name: 'access-log',
    value: 'WHERE',
    environment: 'UPRIVER_ACCESS_LOG',
    help: 'off, stdout or a file',
  },
  {
    name: 'state-file',
    value: 'FILE',
    environment: 'UPRIVER_STATE_FILE',
    help: 'keep the last table here, for a start without the registry',
  },
  {
    name: 'memory-max',
    value: 'SIZE',
    environment: 'UPRIVER_MEMORY_MAX',
    help: 'memory limit of the process, such as 512MiB; near it load is shed',
  },
  {
    name: 'tls-cert',
    value: 'FILE',
    environment: 'UPRIVER_TLS_CERT',
    isRepeatable: true,
    help: 'certificate (PEM) for listeners with tls=true',
  },
  {
    name: 'tls-key',
    value: 'FILE',
    environment: 'UPRIVER_TLS_KEY',
    isRepeatable: true,
    help: 'its key; without, the certificate file holds it too',
  },
];

const TAKEOVER_FLAG: Flag = {
  name: 'takeover',
  value: '',
  environment: 'UPRIVER_TAKEOVER',
  help: 'upgrade: start beside the process that serves, and take its stats port when it drains',
};

const STATS_FLAG: Flag = {
  name: 'stats',
  value: 'ADDR:PORT',
  environment: 'UPRIVER_STATS',
  help: 'the running instance (default: stats.listen of the file, or 127.0.0.1:1936)',
};

const CONFIG_FLAG: Flag = {
  name: 'config',
  value: 'FILE',
  environment: 'UPRIVER_CONFIG',
  help: 'its configuration, for stats.listen',
};

const INSTANCE_FLAGS: readonly Flag[] = [STATS_FLAG, CONFIG_FLAG];

const JSON_FLAG: Flag = {
  name: 'json',
  value: '',
  environment: '',
  help: "print the API's JSON",
};

const TOKEN_FLAG: Flag = {
  name: 'token',
  value: 'TOKEN',
  environment: 'UPRIVER_ADMIN_TOKEN',
  help: 'its admin token',
};

const operatorCommand = (
  name: 'drain' | 'ready' | 'maint' | 'weight',
  help: string,
  words = 'SERVICE ENDPOINT',
): Command => ({
  name,
  words,
  help,
  flags: [...INSTANCE_FLAGS, TOKEN_FLAG],
  run: async (given) => (await import('./operate.ts')).operate(name, given),
});

export const commands: readonly Command[] = [
  {
    name: 'run',
    words: '',
    help: 'the load balancer, in the foreground (the default)',
    flags: [...CONFIG_FLAGS, TAKEOVER_FLAG],
    run: async ({ flags }) => {
      const { run } = await import('./run.ts');
      const takeover = flags.takeover === true || isSet(process.env.UPRIVER_TAKEOVER);
      return run({ flags, env: process.env, path: configPath(flags), takeover });
    },
  },
  {
    name: 'register',
    words: 'URI',
    help: "register containers in Consul, etcd or a key-value store, in Registrator's place",
    flags: REGISTER_FLAGS,
    normalize: normalizeRegisterArgs,
    run: async (given) => (await import('./register.ts')).register(given, process.env),
  },
  {
    name: 'dev',
    words: '[NAME PORT]',
    help: 'the same with an embedded registry and two demo endpoints, or one more of those',
    flags: [],
    run: async ({ words }) => {
      const { dev, devEndpoint } = await import('./dev.ts');
      const [name, port = '0'] = words;
      return name === undefined ? dev() : devEndpoint(name, port);
    },
  },
  {
    name: 'check',
    alias: 'validate',
    words: '',
    help: 'check the configuration; --print shows what is in force',
    exitCodes: '0 valid, 1 invalid, 2 bad usage or a file that cannot be read',
    flags: [
      ...CONFIG_FLAGS,
      { name: 'print', value: '', environment: '', help: 'print the effective configuration' },
    ],
    run: async ({ flags }) => {
      const { check } = await import('./check.ts');
      return check({ flags, path: configPath(flags), isPrinted: flags.print === true });
    },
  },
  {
    name: 'status',
    words: '',
    help: 'services and endpoints of a running instance',
    flags: [
      ...INSTANCE_FLAGS,
      JSON_FLAG,
      { name: 'watch', value: '', environment: '', help: 'show it again every second' },
    ],
    run: async (given) => (await import('./status.ts')).status(given),
  },
  {
    name: 'explain',
    words: 'SERVICE [ENDPOINT]',
    help: 'why each endpoint is in its state',
    flags: [...INSTANCE_FLAGS, JSON_FLAG],
    run: async (given) => (await import('./explain.ts')).explain(given),
  },
  operatorCommand('drain', 'give an endpoint no new work'),
  operatorCommand('maint', 'take an endpoint out for maintenance'),
  operatorCommand('ready', 'take back drain or maint'),
  operatorCommand(
    'weight',
    'change the weight of an endpoint; 0 gives it no new work',
    'SERVICE ENDPOINT N',
  ),
  {
    name: 'healthcheck',
    words: '',
    help: 'exit 0 when /healthz of the running instance answers, or where process 1 is a registrar',
    flags: INSTANCE_FLAGS,
    run: async (given) => (await import('./healthcheck.ts')).healthcheck(given),
  },
  {
    name: 'schema',
    words: '',
    help: 'print the JSON Schema of the configuration file',
    flags: [],
    run: async () => (await import('./schema.ts')).schema(),
  },
  {
    name: 'completion',
    words: 'bash|zsh|fish',
    help: 'print a completion script for the shell',
    flags: [],
    run: async ({ words }) =>
      (await import('./completion.ts')).completion(words[0] ?? '', commands),
  },
  {
    name: 'names',
    words: '[SERVICE]',
    help: 'services of a running instance, or endpoints of one: what completion asks',
    flags: INSTANCE_FLAGS,
    run: async (given) => (await import('./names.ts')).names(given),
  },
];

function configPath(flags: ParsedArguments['flags']): string {
  return typeof flags.config === 'string' ? flags.config : (process.env.UPRIVER_CONFIG ?? '');
}

/** Whether a variable that is a switch is on. */
function isSet(value = ''): boolean {
  return !['', '0', 'false', 'no', 'off'].includes(value.toLowerCase());
}
