// The oracles at the end of a run of several registries: the table equals what is registered and stays so, and
// every part of the process agrees with it.
import { isDeepStrictEqual } from 'node:util';
import type { ServiceView } from '../../src/control/view.ts';
import { sorted } from '../control/run.ts';
import type { SimProcess } from '../control/sim-process.ts';
import type { Configurations } from './configurations.ts';
import type { RegistriesJudge } from './judge.ts';
import { placeOf } from './members.ts';
import { FALLING } from './priorities.ts';
import type { Processes } from './processes.ts';
import type { Registered } from './registered.ts';
import { KIOSK } from './zookeeper-registrar.ts';

export interface EndingOptions {
  readonly judge: RegistriesJudge;
  readonly registered: Registered;
  readonly configurations: Configurations;
  readonly processes: Processes;
}

export class Ending {
  private readonly options: EndingOptions;

  constructor(options: EndingOptions) {
    this.options = options;
  }

  /** In what the table differs from what is registered. */
  wrong(): string[] {
    const [expected, shown] = [this.expected(), this.options.processes.shown()];
    return [...new Set([...expected.keys(), ...shown.keys()])].flatMap((service) => {
      const [must, is] = [expected.get(service), shown.get(service)];
      if (is === undefined) return [`service ${service} is missing`];
      if (must === undefined) return [`service ${service} is there still`];
      return [...new Set([...must.keys(), ...is.keys()])].flatMap((place) => {
        const [a = 'nothing', b = 'nothing'] = [must.get(place), is.get(place)];
        return a === b ? [] : [`${place} of ${service} is '${b}', and should be '${a}'`];
      });
    });
  }

  /** It was right for a while, and must be so still, in each of its parts. */
  judgeSettled({ upriver, threads }: SimProcess): void {
    const { judge } = this.options;
    const wrong = this.wrong();
    if (wrong.length > 0) judge.fault(`settled, and then: ${wrong.join('; ')}`);
    const full = upriver.controller.full();
    const services = new Map(full.upsert.map((one) => [one.service.name, one]));
    for (const thread of threads) {
      if (isDeepStrictEqual(sorted(thread.services), sorted(services))) continue;
      judge.fault(`worker ${thread.index} has another table than was published`);
    }
    for (const { name, lastError, isSynced } of upriver.providers.statuses()) {
      if (lastError !== '') judge.fault(`an error of ${name} is shown still: ${lastError}`);
      if (!isSynced) judge.fault(`${name} is not synced at the end`);
    }
    const priority = this.wrongPriority(upriver.controller.service(FALLING));
    if (priority !== '') judge.fault(priority);
    const { ready, reason } = upriver.readiness();
    if (!ready || reason !== '') judge.fault(`not plainly ready at the end: ${reason}`);
  }

  /** What is wrong with the priority that is in use, or ''. */
  private wrongPriority(view: ServiceView | null): string {
    const { registered, configurations } = this.options;
    const sources = new Map(configurations.sources()).get(FALLING) ?? [];
    const working = configurations.priorities().filter((_, at) => {
      return registered.should.some(
        (member) =>
          member !== null &&
          `${member.registry}|${member.service}` === sources[at] &&
          registered.isListed(member),
      );
    });
    const best = Math.min(...working);
    if (view === null || working.length === 0 || view.priority === best) return '';
    return `priority ${view.priority} of ${FALLING} gets the traffic, and ${best} works`;
  }

  /** What the table must have: service -> place -> state. */
  private expected(): Map<string, Map<string, string>> {
    const { registered, configurations } = this.options;
    const table = new Map<string, Map<string, string>>();
    for (const [service, sources] of configurations.sources()) {
      const places = registered.should.flatMap((member) => {
        if (member === null || !sources.includes(`${member.registry}|${member.service}`)) return [];
        return registered.isListed(member) ? [placeOf(member)] : [];
      });
      if (service === KIOSK && places.length === 0 && !this.mayLinger()) continue;
      table.set(service, new Map(places.map((place) => [place, 'up'])));
    }
    return table;
  }

  /**
   * Nothing is served of a service that nobody describes any more, unless all of ZooKeeper is bare: then its
   * listener answers 503 (docs/zookeeper.md).
   */
  private mayLinger(): boolean {
    const { registered, processes } = this.options;
    const isBare = registered.should.every(
      (member) => member?.registry !== 'zookeeper' || !registered.isListed(member),
    );
    return isBare && processes.current?.upriver.controller.service(KIOSK) != null;
  }
}
