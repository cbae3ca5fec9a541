// One life of the program in the simulation: the product's composition root over simulated doors,
// from its start to its stop or its death. A dead process gets no timer, no answer and no message.
import type { Clock, Timer } from '../../src/base/clock.ts';
import type { Logger } from '../../src/base/log.ts';
import { describeService, isGoodSetting } from '../../src/config/describe.ts';
import { ConfigSource } from '../../src/config/source.ts';
import type { Doors } from '../../src/doors.ts';
import { Upriver } from '../../src/main.ts';
import type { Settings } from '../../src/model/settings.ts';
import type { SystemTables } from '../../src/supervisor/shared-ports.ts';
import { cleanLedger } from '../data/ledgers.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { SimConfig } from './sim-config.ts';
import type { SimDisk } from './sim-disk.ts';
import { SimThread, type ThreadWatcher } from './sim-thread.ts';
import { StatsClient } from './stats-client.ts';

type RegistryDoors = Pick<
  Doors,
  'loadConsul' | 'loadEtcd' | 'loadDocker' | 'loadFile' | 'loadHttp' | 'loadDns' | 'loadZookeeper'
>;

/** The registries of a run, as its processes reach them. */
export interface SimRegistries {
  /** Those that there are; a dead process hears nothing of them. */
  readonly doors: (isDead: () => boolean) => Partial<RegistryDoors>;
  /** A process has died: its questions end. */
  readonly cut: () => void;
}

export interface Surroundings {
  readonly kernel: Kernel;
  readonly registries: SimRegistries;
  readonly disk: SimDisk;
  readonly config: SimConfig;
  readonly probe: Doors['probe'];
  readonly resolve: Doors['resolve'];
  readonly probePort: Doors['probePort'];
  readonly watcher: ThreadWatcher;
  /** Services followed each by a query of its own. */
  readonly directMax: number;
  readonly onError: (text: string) => void;
  /** It can't start, and that was to be expected. */
  readonly onFailed: () => void;
  /** The process has this configuration from now on: one more. */
  readonly onSettings: (process: SimProcess) => void;
}

export class SimProcess {
  readonly upriver: Upriver;
  readonly stats: StatsClient;
  /** The last one started per place. */
  readonly threads: SimThread[] = [];
  /** Timers that are set and have not run: none may be left at the end. */
  readonly timers = new Set<object>();
  readonly config: ConfigSource;
  /** What the program was told to run with last. */
  settings: Settings;
  isStarted = false;
  /** It said that it serves from the state file. */
  isWarm = false;
  /** Something was done to it that may keep it from starting. */
  mayFail = false;
  startedMs = Number.POSITIVE_INFINITY;
  private isDead = false;
  private readonly around: Surroundings;
  private readonly number: number;
  private threadCount = 0;

  constructor(around: Surroundings, number: number) {
    this.around = around;
    this.number = number;
    const { kernel } = around;
    const isDead = (): boolean => this.isDead;
    const later = (ms: number, run: () => void): Timer => {
      const key = {};
      this.timers.add(key);
      const timer = kernel.after(ms, () => {
        this.timers.delete(key);
        if (!this.isDead) run();
      });
      return {
        cancel: () => {
          this.timers.delete(key);
          timer.cancel();
        },
      };
    };
    const clock: Clock = {
      nowMs: kernel.clock.nowMs,
      wallMs: kernel.clock.wallMs,
      // As in Node: whole ms, and one at the least.
      setTimer: (ms, run) => later(Math.max(1, Math.trunc(ms)), run),
      nextTurn: (run) => void later(0, run),
    };
    const log = this.logger();
    const draws = kernel.chance(`process ${number}`);
    this.config = new ConfigSource({
      ...{ flags: {}, env: {}, path: 'upriver.yaml', clock, log },
      door: around.config.doorFor(isDead),
      onSettings: (settings, why) => this.apply(settings, why),
    });
    this.settings = this.config.loadFirst().settings!;
    const doors: Doors = {
      clock,
      random: () => draws.next(),
      ...NO_REGISTRIES,
      ...around.registries.doors(isDead),
      resolve: around.resolve,
      // They are listened on by addresses, which nobody else has.
      resolveListens: () => Promise.resolve(new Map()),
      probePort: around.probePort,
      ownerOfPeer: () => Promise.resolve('other' as const),
      localAddresses: () => [],
      sockets: NO_SOCKETS,
      probe: around.probe,
      disk: around.disk.openFor(isDead),
      startThread: (init, events) => {
        this.threadCount += 1;
        const name = `${number}.${init.index}.${this.threadCount}`;
        const thread = new SimThread(init, events, { kernel, watcher: around.watcher, name });
        this.threads[init.index] = thread;
        return thread;
      },
      residentBytes: () => 1,
    };
    this.upriver = new Upriver({
      settings: this.settings,
      log,
      writeAccess: null,
      describe: describeService,
      isGoodSetting,
      onOverlay: (key, overlay) => this.config.setOverlay(key, overlay),
      configStatus: () => this.config.status,
      doors,
      ledger: cleanLedger(2).ledger,
      consulDirectMax: around.directMax,
    });
    const { stats } = this.settings;
    this.stats = new StatsClient(this.upriver.statsSources(), stats, around.onError);
  }

  start(): void {
    this.upriver.start().then(
      () => {
        this.isStarted = true;
        this.config.watch();
        this.startedMs = this.around.kernel.nowMs;
      },
      (error: unknown) => {
        if (this.isDead) return;
        if (this.mayFail) this.around.onFailed();
        else this.around.onError(`the process can't start: ${String(error)}`);
      },
    );
  }

  /** kill -9. */
  die(): void {
    this.isDead = true;
    this.stats.close();
    for (const thread of this.threads) thread.vanish();
    this.around.registries.cut();
  }

  private apply(settings: Settings, why: string): void {
    if (this.isDead) return;
    this.settings = settings;
    this.around.onSettings(this);
    void this.upriver.apply(settings, { kind: 'reload', text: why });
  }

  private logger(): Logger {
    const { kernel, onError } = this.around;
    const { trace } = kernel;
    const at = (level: string) => (fields: object, message: string) => {
      if (this.isDead) return;
      if (/ services from the state file of /.test(message)) this.isWarm = true;
      if (level === 'error' && !EXPECTED.test(message)) {
        onError(`logged: ${message} ${JSON.stringify(fields)}`);
      }
      if (!trace.isOn) return;
      trace.add(
        kernel.nowMs,
        `process ${this.number} ${level}: ${message} ${JSON.stringify(fields)}`,
      );
    };
    return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  }
}

const NO_REGISTRIES: RegistryDoors = {
  loadConsul: () => Promise.reject(new Error('no Consul is simulated')),
  loadEtcd: () => Promise.reject(new Error('no etcd is simulated')),
  loadDocker: () => Promise.reject(new Error('there is no engine in a simulation')),
  loadFile: () => Promise.reject(new Error('there are no files in a simulation')),
  loadHttp: () => Promise.reject(new Error('there are no URLs in a simulation')),
  loadDns: () => Promise.reject(new Error('no DNS server is simulated')),
  loadZookeeper: () => Promise.reject(new Error('no ZooKeeper is simulated')),
};

const NO_SOCKETS: SystemTables = { table: () => '', socketsOf: () => [], pids: () => [] };

/** Errors that a run may well have. */
const EXPECTED =
  /worker died|worker does not answer|listener .* is (taken by|not allowed by)|worker is unresponsive|refused: /;
