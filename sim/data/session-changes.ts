// Plays what puts the rules of TCP sessions to the test: primaries that change, and endpoints whose state
// changes several times before it is as it was.
import type { EndpointState } from '../../src/model/endpoint.ts';
import type { Stage } from './changes.ts';
import type { SessionChangePlan } from './session-rules.ts';
import type { EndpointEntry, ServiceEntry } from './table.ts';

const STATES: readonly EndpointState[] = ['down', 'ejected', 'drain', 'maint', 'up'];

export function playSessions(stage: Stage, change: SessionChangePlan): void {
  const { kernel, table } = stage;
  kernel.at(change.atMs, () => {
    const service = table.services.get(change.service)!;
    const endpoints = table.endpointsOf(change.service);
    if (endpoints.length === 0) return;
    if (change.kind === 'primary') turn(stage, change, service);
    else flap(stage, change, kernel.chance(change.name).pick(endpoints));
  });
}

/** Another endpoint is the primary, or none; then any is. */
function turn({ kernel, table, book }: Stage, change: SessionChangePlan, one: ServiceEntry): void {
  const chance = kernel.chance(change.name);
  const names = table.endpointsOf(change.service).map(({ plan }) => plan.name);
  const become = (primary: string): void => {
    one.primary = primary;
    book.note(`control: the primary of ${change.service} is ${primary === '' ? 'none' : primary}`);
    table.changed([change.service]);
  };
  become(chance.happens(0.3) ? '' : chance.pick(names));
  kernel.after(change.forMs, () => become(chance.pick(names)));
}

/** Down, draining, gone and back, one after the other. */
function flap({ kernel, table, book }: Stage, change: SessionChangePlan, one: EndpointEntry): void {
  const { name, service } = one.plan;
  const chance = kernel.chance(`${change.name} of ${name}`);
  const steps = chance.int(1, 4);
  for (let i = 0; i < steps; i += 1) {
    const isLast = i === steps - 1;
    kernel.after((change.forMs * i) / steps, () => {
      one.isThere = !chance.happens(0.25);
      one.state = chance.pick(STATES);
      book.note(`control: ${name} is ${one.isThere ? `in state ${one.state}` : 'gone'}`);
      table.changed([service]);
      if (isLast) kernel.after(change.forMs / steps, () => mend());
    });
  }
  const mend = (): void => {
    one.isThere = true;
    one.state = 'up';
    book.note(`control: ${name} is up`);
    table.changed([service]);
  };
}
