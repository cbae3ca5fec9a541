// The oracles at the end of a run, when all has been quiet for a while: the table equals the truth and stays
// so, and every part of the process agrees with it.
import { isDeepStrictEqual } from 'node:util';
import { loadSettings } from '../../src/config/load.ts';
import type { Settings } from '../../src/model/settings.ts';
import type { Configurations } from './configurations.ts';
import { differences, shownTable } from './expected.ts';
import type { Judge } from './judge.ts';
import { wrongListeners } from './ports.ts';
import { sorted } from './run.ts';
import type { SimConfig } from './sim-config.ts';
import type { SimConsul } from './sim-consul.ts';
import type { SimProcess } from './sim-process.ts';
import { OVERLAY_KEY, OVERLAYS } from './universe.ts';

/** More than a run ever uses. */
const SLOTS_LOOKED_AT = 200;

export interface EndingOptions {
  readonly judge: Judge;
  readonly consul: SimConsul;
  readonly config: SimConfig;
  readonly configurations: Configurations;
  /** What is wrong with priorities, and with listeners that rules forbid; or ''. */
  readonly unguided: (process: SimProcess) => string;
  /** The longest sync age of a registry that answers, ms. */
  readonly ageMsMax: number;
}

export class Ending {
  private readonly options: EndingOptions;

  constructor(options: EndingOptions) {
    this.options = options;
  }

  private fault(text: string): void {
    this.options.judge.fault(text);
  }

  /** In what the process differs from the truth. */
  wrong(process: SimProcess): string[] {
    const expected = this.options.configurations.expectedBy(process.settings);
    return differences(expected, shownTable(process.upriver.controller));
  }

  /** It was right for a while, and must be so still, in each of its parts. */
  judgeSettled(process: SimProcess, nowMs: number): void {
    const { controller, supervisor } = process.upriver;
    const shown = shownTable(controller);
    this.checkAge(process);
    const wrong = this.wrong(process);
    if (wrong.length > 0) this.fault(`settled, and then: ${wrong.join('; ')}`);
    this.options.judge.compareEvents(shown);
    this.compareWorkers(process);
    this.compareCounts(process);
    this.compareSettings(process);
    const { listeners } = controller.full();
    const unheard = wrongListeners(listeners ?? [], process.settings, shown.keys());
    if (unheard !== '') this.fault(unheard);
    const unguided = this.options.unguided(process);
    if (unguided !== '') this.fault(unguided);
    const { ok, reason } = supervisor.liveness();
    if (!ok) this.fault(`not live at the end: ${reason}`);
    this.checkProviders(process, nowMs);
    const { ready, reason: why } = process.upriver.readiness();
    if (!ready || why !== '') this.fault(`not plainly ready at the end: ${why}`);
  }

  private checkProviders({ upriver }: SimProcess, nowMs: number): void {
    for (const { name, lastSyncMs, lastError, isSynced } of upriver.providers.statuses()) {
      if (name !== 'consul') continue;
      const ageMs = nowMs - lastSyncMs;
      if (ageMs > this.options.ageMsMax) this.fault(`the sync age is ${Math.round(ageMs)} ms`);
      if (lastError !== '') this.fault(`an error is shown still: ${lastError}`);
      if (!isSynced) this.fault('not synced at the end');
    }
  }

  /** The sync age is that of the last good answer, at any time. */
  checkAge(process: SimProcess | null): void {
    const statuses = process?.upriver.providers.statuses() ?? [];
    for (const { name, lastSyncMs } of statuses) {
      if (name !== 'consul' || lastSyncMs <= this.options.consul.lastGoodMs + 50) continue;
      this.fault('the sync age is too young');
    }
  }

  /** Each worker has exactly what was published. */
  private compareWorkers({ upriver, threads }: SimProcess): void {
    const full = upriver.controller.full();
    const services = new Map(full.upsert.map((one) => [one.service.name, one]));
    for (const thread of threads) {
      const name = `worker ${thread.index}`;
      if (thread.version !== full.version) {
        this.fault(`${name} is at version ${thread.version} of ${full.version}`);
      }
      if (!isDeepStrictEqual(sorted(thread.services), sorted(services))) {
        this.fault(`${name} has another table than was published`);
      }
      if (!isDeepStrictEqual(thread.listeners, full.listeners)) {
        this.fault(`${name} has other listeners than were published`);
      }
    }
  }

  /** What runs is what the file says, with the overlay; while that is bad, with a good one before. */
  private compareSettings({ settings }: SimProcess): void {
    const { config, consul } = this.options;
    const load = (text: string | null): Settings | null => settingsBy(config.whole, text);
    const overlay = consul.state.keys.get(OVERLAY_KEY)?.text ?? null;
    const wanted = load(overlay);
    const may = wanted === null ? OVERLAYS.map(load) : [wanted];
    if (may.some((one) => isDeepStrictEqual(one, settings))) return;
    this.fault('another configuration runs than the file and the overlay say');
  }

  /** What is in flight in the ledger is what the workers have; that of dead ones is taken back. */
  private compareCounts({ upriver, threads }: SimProcess): void {
    for (let slot = 0; slot < SLOTS_LOOKED_AT; slot += 1) {
      const has = threads.reduce((sum, { inFlight }) => sum + (inFlight.get(slot)?.count ?? 0), 0);
      const counted = upriver.ledger.inFlight(slot);
      if (counted === has) continue;
      this.fault(`slot ${slot} counts ${counted} in flight, and workers have ${has}`);
    }
  }
}

/** What was read before: runs have few texts among them, and reading one takes its time. */
const read = new Map<string, Settings | null>();

/** What a file and an overlay say; null where that can't be. */
function settingsBy(text: string, overlay: string | null): Settings | null {
  const key = JSON.stringify([text, overlay]);
  const known = read.get(key);
  if (known !== undefined) return known;
  const kv = overlay === null ? null : { key: OVERLAY_KEY, text: overlay };
  const file = { path: 'upriver.yaml', text };
  const { settings } = loadSettings({ flags: {}, env: {}, file, kv });
  read.set(key, settings);
  return settings;
}
