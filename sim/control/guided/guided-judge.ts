// The oracles over what guides traffic beyond the list of endpoints: primaries, priorities, and where
// listeners and endpoints may be.
import type { TableEvent } from '../../../src/control/view.ts';
import type { CheckOutcome } from '../../../src/health/outcome.ts';
import type { Settings } from '../../../src/model/settings.ts';
import type { ListenerSnapshot, SnapshotDelta } from '../../../src/model/snapshot.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import type { Configurations } from '../configurations.ts';
import type { SimProcess } from '../sim-process.ts';
import type { SimThread } from '../sim-thread.ts';
import { REGISTERED } from '../universe.ts';
import type { Leaders } from './leaders.ts';
import { PrimaryJudge } from './primary-judge.ts';
import { PriorityJudge } from './priority-judge.ts';
import { isAllowed, isDenied, placeText } from './trust.ts';

const LOOK_MS = 1000;
/** A process that serves from its state file has heard of the registry by then. */
const OF_FILE_MS = 100_000;

export interface GuidedJudgeOptions {
  readonly kernel: Kernel;
  readonly fault: (text: string) => void;
  readonly leaders: Leaders;
  readonly configurations: Configurations;
  readonly process: () => SimProcess | null;
}

export class GuidedJudge {
  private readonly options: GuidedJudgeOptions;
  private readonly primary: PrimaryJudge;
  private readonly priority: PriorityJudge;
  private isDue = false;
  private isOver = false;

  constructor(options: GuidedJudgeOptions) {
    const { kernel, fault, leaders, process } = options;
    this.options = options;
    this.priority = new PriorityJudge(fault);
    this.primary = new PrimaryJudge({
      ...{ by: leaders.by, fault, nowMs: () => kernel.nowMs },
      claimedMs: (id) => leaders.claimedMsOf(id),
      isOfFile: () => {
        const { isWarm = true, startedMs = 0 } = process() ?? {};
        return isWarm && kernel.nowMs - startedMs < OF_FILE_MS;
      },
    });
    this.tick();
  }

  /** Another process. */
  begin(): void {
    this.primary.begin();
    this.priority.begin();
  }

  /** The run is over: nothing may be left of it. */
  end(): void {
    this.isOver = true;
  }

  onEvent({ service, endpoint, from }: TableEvent): void {
    const view = this.options.process()?.upriver.controller.service(service) ?? null;
    if (service === 'db' && from === '' && endpoint !== '') {
      const one = view?.endpoints.find(({ id }) => id === endpoint);
      if (one !== undefined) this.primary.onNew(`${one.address}:${one.port}`);
    }
    if (service === 'db' || service === 'tier') this.lookSoon();
  }

  onOutcome(place: string, outcome: CheckOutcome): void {
    this.primary.onOutcome(place, outcome);
    this.lookSoon();
  }

  onApplied(thread: SimThread, delta: SnapshotDelta): void {
    this.primary.onApplied(thread.index, delta);
    for (const listener of delta.listeners ?? []) this.judgeListener(listener);
  }

  /** A worker sends work there. */
  onWork({ index }: SimThread, service: string, address: string): void {
    if (this.isDeniedByAll(address)) {
      this.options.fault(`worker ${index} sends work of ${service} to ${address}, which is denied`);
    }
  }

  onProbe(place: string): void {
    const [address = ''] = place.split(':');
    if (this.isDeniedByAll(address)) {
      this.options.fault(`${place} is checked, and denied`);
    }
  }

  /** What is wrong with the listeners of `rogue` at the end, or ''; `listen` is where it wants to. */
  wrongListeners(
    listeners: readonly ListenerSnapshot[],
    settings: Settings,
    listen: string | null,
  ): string {
    const is = listeners.filter(({ service }) => service === 'rogue');
    const places = is.map(({ address }) => placeText(address));
    const must = listen !== null && isAllowed(listen, settings) ? [listen] : [];
    if (places.join() === must.join()) return '';
    return `rogue listens on '${places}', and should on '${must}'`;
  }

  /** What is wrong with the priority that is in use at the end, or ''. */
  wrongPriority(process: SimProcess, expected: ReadonlyMap<string, string>): string {
    const view = process.upriver.controller.service('tier');
    const priorities = [...expected].flatMap(([id, text]) => {
      return text.endsWith(' up') ? [priorityOf(id, process.settings)] : [];
    });
    const best = Math.min(...priorities);
    if (view === null || best === Number.POSITIVE_INFINITY || view.priority === best) return '';
    return `priority ${view.priority} of tier gets the traffic, and ${best} works`;
  }

  private isDeniedByAll(address: string): boolean {
    return !this.options.configurations.some((settings) => !isDenied(address, settings));
  }

  private judgeListener({ service, address }: ListenerSnapshot): void {
    if (service !== 'rogue') return;
    const place = placeText(address);
    if (this.options.configurations.some((settings) => isAllowed(place, settings))) return;
    this.options.fault(`rogue listens on ${place}, which no rule allows`);
  }

  private tick(): void {
    this.options.kernel.after(LOOK_MS, () => {
      if (this.isOver) return;
      this.look();
      this.tick();
    });
  }

  /** Once what happens now is over. */
  private lookSoon(): void {
    if (this.isDue) return;
    this.isDue = true;
    this.options.kernel.after(0, () => {
      this.isDue = false;
      this.look();
    });
  }

  private look(): void {
    const { kernel, process } = this.options;
    const { controller } = process()?.upriver ?? {};
    if (controller === undefined) return;
    this.primary.look(controller.service('db'));
    this.priority.look(controller.service('tier'), kernel.nowMs);
  }
}

/** Of an endpoint of `tier`, by the configuration. */
function priorityOf(id: string, { services }: Settings): number {
  const tags = REGISTERED.find((one) => `${one.node}/${one.id}` === id)?.tags ?? [];
  const { from = [] } = services.find(({ name }) => name === 'tier') ?? {};
  const naming = from.filter(({ source: { registry, tag } }) => {
    return registry === 'static' ? tags.length === 0 : tags.includes(tag);
  });
  return Math.min(...naming.map(({ priority }) => priority));
}
