// `upriver run`: the balancer in the foreground, from reading the configuration to the exit code:
// 0 drained, 1 a failure at run time, 2 bad usage or configuration.
import { systemClock } from '../base/clock.ts';
import { messageOf } from '../base/coded-error.ts';
import type { Logger, LogLevel } from '../base/log.ts';
import { safeLine } from '../base/safe-text.ts';
import { isReading } from '../base/timely-file.ts';
import { certificateProblems } from '../certificates/vet.ts';
import { describeService, isGoodSetting } from '../config/describe.ts';
import type { Environment } from '../config/environment.ts';
import { exposedFiles } from '../config/exposed-files.ts';
import type { RunFlags } from '../config/flags.ts';
import { formatProblem, type Problem } from '../config/problem.ts';
import { ConfigSource } from '../config/source.ts';
import { Upriver } from '../main.ts';
import type { RegisterSettings } from '../model/register.ts';
import type { LogSettings, Settings } from '../model/settings.ts';
import {
  nodeRegistrar,
  nodeSelfRegistration,
  type RunningRegistrar,
  type SelfFacts,
  type SelfRegistration,
} from '../registering.ts';
import { type LogOutput, openLog } from './log.ts';
import { liveUntilSignal } from './process-life.ts';

const EXIT_MS_MAX = 1000;

export interface RunOptions {
  readonly flags: RunFlags;
  readonly env: Environment;
  /** The configuration file; '' for none. */
  readonly path: string;
  /** Start beside an older process, and take its stats port over. */
  readonly takeover?: boolean;
  /** Called when listeners are open, with what is in force. */
  readonly onStarted?: (settings: Settings) => void;
}

/** Runs until it is asked to end; resolves with the exit code. */
export async function run(options: RunOptions): Promise<number> {
  const { flags, env, path } = options;
  const late = new LateLog();
  let upriver: Upriver | null = null;
  const config = new ConfigSource({
    flags,
    env,
    path,
    clock: systemClock,
    log: late,
    vet: async (settings) => (await upriver?.vet(settings)) ?? [],
    onSettings: (settings, why) => void upriver?.apply(settings, { kind: 'reload', text: why }),
  });
  const { settings, problems: found, tree } = config.loadFirst();
  const problems = settings === null ? found : await unusableCertificates(settings);
  if (settings === null || problems.length > 0) {
    for (const problem of problems) console.error(`upriver: ${formatProblem(problem)}`);
    return 2;
  }
  const output = openLogOrSay(settings.log);
  if (output === null) return 2;
  late.target = output.log;
  for (const { key, where: file, message } of exposedFiles(tree)) {
    output.log.warn({ file, key }, `${key} ${file}: ${message}`);
  }
  upriver = new Upriver({
    settings,
    log: output.log,
    writeAccess: output.writeAccess,
    describe: describeService,
    isGoodSetting,
    onOverlay: (key, text) => config.setOverlay(key, text),
    configStatus: () => config.status,
    takeover: options.takeover ?? false,
  });
  const code = await live(upriver, { config, output, onStarted: options.onStarted, settings });
  config.close();
  output.flush();
  // Everything is closed by now; a connection that is not must not keep the process.
  setTimeout(() => exit(code), EXIT_MS_MAX).unref();
  return code;
}

/** Node waits for the threads that read files, and one whose disk hangs never comes back. */
function exit(code: number): void {
  if (isReading()) {
    console.error('upriver: a disk does not answer: ended without waiting for it');
    process.kill(process.pid, 'SIGKILL');
  }
  process.exit(code);
}

/** Those that have expired are served, and said to have: a start must not fail for it. */
async function unusableCertificates(settings: Settings): Promise<readonly Problem[]> {
  const problems = await certificateProblems(settings, systemClock);
  return problems.filter(({ kind }) => kind === 'broken');
}

/** Null, with a word on stderr, when the access log can't be written. */
function openLogOrSay(settings: LogSettings): LogOutput | null {
  try {
    return openLog(settings);
  } catch (error) {
    const why = `can't open the access log ${settings.access}: ${messageOf(error)}`;
    console.error(`upriver: ${safeLine(why)}`);
    return null;
  }
}

interface LiveParts {
  readonly config: ConfigSource;
  readonly output: LogOutput;
  readonly settings: Settings;
  readonly onStarted: RunOptions['onStarted'];
}

async function live(upriver: Upriver, parts: LiveParts): Promise<number> {
  const { config, output, settings, onStarted } = parts;
  const registrar = new BesideRegistrar(output.log);
  const self = new OwnRegistration(upriver, settings, output.log);
  const ended = liveUntilSignal({
    log: output.log,
    // What is registered leaves first, where it is to, while listeners are open.
    drain: async () => {
      upriver.leave();
      await Promise.all([registrar.stop(), self.leave()]);
      await upriver.drain();
    },
    reload: () => config.reload('SIGHUP'),
    flush: output.flush,
  });
  const started = upriver.start().then(
    () => null,
    (error: unknown) => error ?? 'unknown error',
  );
  const first = await Promise.race([started, ended]);
  if (typeof first === 'number') return first;
  if (first !== null) {
    output.log.error({}, messageOf(first));
    await upriver.stop();
    return 1;
  }
  // What begins now would not hear that it is to end.
  if (upriver.isEnding) return ended;
  config.watch();
  onStarted?.(settings);
  if (settings.register !== undefined) registrar.start(settings.register);
  self.start();
  return ended;
}

/** This process in the catalog, where that is wanted. */
class OwnRegistration {
  private readonly upriver: Upriver;
  private readonly settings: Settings;
  private readonly log: Logger;
  private starting: Promise<SelfRegistration | null> = Promise.resolve(null);

  constructor(upriver: Upriver, settings: Settings, log: Logger) {
    this.upriver = upriver;
    this.settings = settings;
    this.log = log;
  }

  start(): void {
    const { consul } = this.settings.registries;
    this.starting = nodeSelfRegistration(consul, () => this.facts(), this.log);
  }

  async leave(): Promise<void> {
    const registration = await this.starting;
    await registration?.leave();
    await registration?.close();
  }

  private facts(): SelfFacts {
    const { listen, tls } = this.settings.stats;
    const isPort = listen?.kind === 'tcp';
    return {
      ...this.upriver.exposure(),
      isReady: this.upriver.readiness().ready,
      stats: isPort ? { host: listen.host, port: listen.port, isTls: tls !== null } : null,
    };
  }
}

/** The registrar of a process that balances: it never ends it. */
class BesideRegistrar {
  private readonly log: Logger;
  private readonly ending = new AbortController();
  private starting: Promise<RunningRegistrar | null> = Promise.resolve(null);

  constructor(log: Logger) {
    this.log = log;
  }

  start(settings: RegisterSettings): void {
    const endless = { ...settings, retryAttempts: -1 };
    this.starting = nodeRegistrar(endless, this.log, this.ending.signal).catch((error: unknown) => {
      if (!this.ending.signal.aborted) this.log.error({}, messageOf(error));
      return null;
    });
  }

  async stop(): Promise<void> {
    this.ending.abort();
    await (await this.starting)?.stop();
  }
}

/** The log before it is known where to: nothing is said by then. */
class LateLog implements Logger {
  target: Logger | null = null;

  debug(...record: Parameters<Logger['debug']>): void {
    this.say('debug', record);
  }

  info(...record: Parameters<Logger['info']>): void {
    this.say('info', record);
  }

  warn(...record: Parameters<Logger['warn']>): void {
    this.say('warn', record);
  }

  error(...record: Parameters<Logger['error']>): void {
    this.say('error', record);
  }

  private say(level: LogLevel, [fields, message]: Parameters<Logger['info']>): void {
    this.target?.[level](fields, message);
  }
}
