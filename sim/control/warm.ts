// What a state file must bring back: the endpoints that a process had when it died, unless the file was
// spoilt, which must not be served from.
import type { Kernel } from '../kernel/kernel.ts';
import type { Configurations } from './configurations.ts';
import { shownTable } from './expected.ts';
import type { Judge } from './judge.ts';
import type { Step } from './plan.ts';
import type { Registered } from './registered.ts';
import type { SimConsul } from './sim-consul.ts';
import type { SimDisk } from './sim-disk.ts';
import type { SimProcess } from './sim-process.ts';
import { STATE_FILE } from './universe.ts';

/** What the table has had for so long stands in the state file. */
const WRITTEN_MS = 5000;

type Crash = Extract<Step, { kind: 'crash' }>;

export interface WarmStartsOptions {
  readonly kernel: Kernel;
  readonly consul: SimConsul;
  readonly disk: SimDisk;
  readonly judge: Judge;
  readonly registered: Registered;
  readonly configurations: Configurations;
  readonly isGuarded: boolean;
}

export class WarmStarts {
  private readonly options: WarmStartsOptions;
  /** Endpoints that the last process knew when it died. */
  private expected: { key: string; service: string; question: string }[] = [];
  /** A state file that must not be read. */
  private spoilt: object | null = null;
  /** The registry whose table the state file has. */
  private registry = '';

  constructor(options: WarmStartsOptions) {
    this.options = options;
  }

  get isSpoilt(): boolean {
    return this.spoilt !== null && this.options.disk.files.get(STATE_FILE) === this.spoilt;
  }

  /** The process dies: what it has known for a while must be served after the next start. */
  note(process: SimProcess, { file }: Crash): void {
    const { kernel, disk, judge, configurations } = this.options;
    this.expected = [];
    const { nowMs } = kernel;
    if (file !== 'as it was' || disk.fullUntilMs > nowMs - 3000) return;
    // The file is written anew a moment later.
    if (nowMs - process.startedMs < WRITTEN_MS) return;
    // A reload takes its time: until then what is served is of the sources before it.
    if (configurations.isChanging()) return;
    this.registry = registryOf(process);
    for (const [service, endpoints] of shownTable(process.upriver.controller)) {
      for (const id of endpoints.keys()) {
        const [key = ''] = id.split('@');
        const sinceMs = judge.sinceMs.get(key) ?? Number.POSITIVE_INFINITY;
        const isOld = nowMs - sinceMs > 10_000 && judge.shownFor(service, id) > WRITTEN_MS;
        const question = configurations.questionOf(service);
        if (isOld) this.expected.push({ key, service, question });
      }
    }
  }

  /** What becomes of the file while no process runs. */
  spoil(fate: Crash['file']): void {
    const { disk } = this.options;
    const content = disk.files.get(STATE_FILE);
    if (content === undefined) return;
    if (fate === 'away') disk.files.delete(STATE_FILE);
    const { text } = content;
    if (fate === 'torn') content.text = text.slice(0, text.length * 0.7);
    if (fate === 'cut at a line') {
      const lineEnd = text.lastIndexOf('\n', Math.max(0, text.length - 3));
      content.text = text.slice(0, lineEnd + 1);
    }
    if (fate !== 'as it was') this.spoilt = content;
    if (fate === 'of another version') {
      content.text = content.text.replace('"version":', '"version":9');
    }
    if (fate === 'of another registry') {
      content.text = content.text.replace('"consul":"', '"consul":"f');
    }
  }

  /** It stops in order: what it had is not looked for. */
  forget(): void {
    this.expected = [];
  }

  /** A process starts: nothing is expected of which it may be told something else. */
  begin(process: SimProcess): void {
    const { consul, registered } = this.options;
    // A registry that answers without them is believed by a process that is new.
    const { instances } = consul.state;
    const unknown = [...registered.should].filter(([key]) => !instances.has(key));
    const lacking = new Set(unknown.map(([, { service }]) => service));
    this.expected = this.expected.filter(({ key }) => {
      const one = registered.should.get(key);
      return one !== undefined && instances.has(key) && !lacking.has(one.service);
    });
    if (consul.agents.some((agent) => consul.lagOf(agent) > 0)) this.expected = [];
    // The state file of another registry is not read.
    if (registryOf(process) !== this.registry) this.expected = [];
  }

  /** It is ready. `wasSpoilt`: the file was when it began. */
  judgeStarted(process: SimProcess, wasSpoilt: boolean): void {
    const { judge, configurations, isGuarded } = this.options;
    if (wasSpoilt && process.isWarm) judge.fault('a spoilt state file is served from');
    const shown = shownTable(process.upriver.controller);
    for (const { key, service, question } of this.expected) {
      // With another source it is another service.
      if (configurations.questionOf(service) !== question) continue;
      // Without the guard nothing is held while a name is looked up.
      if (service === 'names' && !isGuarded) continue;
      const isThere = [...(shown.get(service)?.keys() ?? [])].some((id) => id.startsWith(key));
      const isSure = judge.sinceMs.has(key) && !judge.wasLeftOut(key);
      if (isThere || !isSure || !configurations.isWanted(service, key)) continue;
      // Nor is there a service without the one who describes it: first answers are believed.
      if (judge.lacksDescription(service)) continue;
      judge.fault(`${key} of ${service} is not there after a start with a state file`);
    }
    this.expected = [];
  }
}

function registryOf({ settings }: SimProcess): string {
  return JSON.stringify(settings.registries.consul);
}
