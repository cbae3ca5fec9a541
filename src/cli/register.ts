// `upriver register`: registers the containers of an engine, in Registrator's place. Exit codes: 0
// ended by a signal, 1 the registry can't be reached, 2 bad usage.
import { messageOf } from '../base/coded-error.ts';
import { hideCredentials } from '../base/safe-text.ts';
import type { Environment } from '../config/environment.ts';
import { exposedRegisterFiles } from '../config/exposed-files.ts';
import { readRegister } from '../config/register.ts';
import { logSchema } from '../config/schema/process.ts';
import { type RegisterInput, registerSchema } from '../config/schema/register.ts';
import { parse } from '../config/validate.ts';
import { nodeRegistrar } from '../registering.ts';
import type { ParsedArguments } from './command.ts';
import { openLog } from './log.ts';
import { liveUntilSignal } from './process-life.ts';

const EXIT_MS_MAX = 1000;
const ALIVE_MS = 60_000;

/** Runs until it is asked to end; resolves with the exit code. */
export async function register(
  { flags, words }: ParsedArguments,
  env: Environment,
): Promise<number> {
  const input = inputOf(flags, words[0] ?? '');
  if (Array.isArray(input)) return misuse(input);
  const docker = typeof flags.docker === 'string' ? flags.docker : '';
  const { settings, problems } = readRegister(input, docker, env);
  if (settings === null) return misuse(problems);
  const log = parse({
    data: {
      level: flags['log-level'] ?? (env.UPRIVER_LOG_LEVEL || undefined),
      format: flags['log-format'] ?? (env.UPRIVER_LOG_FORMAT || undefined),
    },
    where: (path) => `--log-${path.map(String).join('.')}`,
    schema: logSchema,
  });
  if (log.output === null)
    return misuse(log.problems.map(({ where, message }) => `${where}: ${message}`));
  const output = openLog(log.output);
  for (const { key, where: file, message } of exposedRegisterFiles(settings)) {
    output.log.warn({ file, key }, `${key} ${file}: ${message}`);
  }
  // The timers of a registrar keep no process, and between two tries nothing else may be open.
  const alive = setInterval(() => {}, ALIVE_MS);
  const ending = new AbortController();
  const starting = nodeRegistrar(settings, output.log, ending.signal);
  const ended = liveUntilSignal({
    log: output.log,
    drain: async () => {
      ending.abort();
      await starting.then(
        (running) => running.stop(),
        () => undefined,
      );
    },
    reload: () => {},
    flush: output.flush,
  });
  const failed = starting.then(
    () => new Promise<never>(() => {}),
    (error: unknown) => {
      if (ending.signal.aborted) return ended;
      output.log.error({}, messageOf(error));
      return 1;
    },
  );
  const code = await Promise.race([ended, failed]);
  clearInterval(alive);
  output.flush();
  setTimeout(() => process.exit(code), EXIT_MS_MAX).unref();
  return code;
}

/** What the flags say, or what is wrong with them. */
function inputOf(flags: ParsedArguments['flags'], to: string): RegisterInput | string[] {
  const { output, problems } = parse({
    data: {
      to,
      hostname: flags.hostname,
      ip: flags.ip,
      internal: flags.internal,
      explicit: flags.explicit,
      use_ip_from_label: flags.useIpFromLabel,
      tags: flags.tags,
      cleanup: flags.cleanup,
      deregister: flags.deregister,
      deregister_on_exit: flags['deregister-on-exit'],
      resync: inUnit(flags.resync, 's'),
      ttl: inUnit(flags.ttl, 's'),
      ttl_refresh: inUnit(flags['ttl-refresh'], 's'),
      retry_attempts: flags['retry-attempts'],
      retry_interval: inUnit(flags['retry-interval'], 'ms'),
    },
    where: (path) => `--${path.map((key) => String(key).replaceAll('_', '-')).join('.')}`,
    schema: registerSchema,
  });
  return output ?? problems.map(({ where, message }) => `${where}: ${message}`);
}

/** Registrator's times are plain numbers; a duration is as good. */
function inUnit(value: ParsedArguments['flags'][string], unit: string): unknown {
  return typeof value === 'string' && /^\d+$/.test(value) ? `${value}${unit}` : value;
}

function misuse(problems: readonly string[]): number {
  for (const problem of problems) console.error(`upriver: ${hideCredentials(problem)}`);
  console.error("Run 'upriver register --help' for the flags.");
  return 2;
}
