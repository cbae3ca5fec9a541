// The configuration file on the machine of a run. Who changes it may do so in several steps, between
// which half of it is there; whoever watches the folder hears of each.
import { loadSettings } from '../../src/config/load.ts';
import type { ConfigDoor } from '../../src/config/source.ts';
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';

/** The steps of one writing are not further apart. */
const STEPS_MS = 30;
/** A large configuration takes so long to read, at the most. */
const LOAD_MS = 900;

export class SimConfig {
  /** As whoever wrote it last wanted it. */
  whole: string;
  private text: string;
  private readonly kernel: Kernel;
  private readonly chance: Chance;
  private readonly watchers = new Set<() => void>();

  constructor(kernel: Kernel, text: string) {
    this.kernel = kernel;
    this.chance = kernel.chance('config');
    this.text = text;
    this.whole = text;
  }

  /** Somebody writes the file anew. */
  write(text: string): void {
    const { kernel, chance } = this;
    this.whole = text;
    if (chance.happens(0.4)) {
      this.put(text.slice(0, Math.floor(text.length * chance.next())));
      kernel.after(chance.between(0.1, STEPS_MS), () => this.put(this.whole));
    } else this.put(text);
  }

  /** All writing is over. */
  finish(): void {
    this.text = this.whole;
  }

  /** The way to it of one process. */
  doorFor(isDead: () => boolean): ConfigDoor {
    return {
      readFirst: () => this.text,
      read: () => Promise.resolve(this.text),
      watch: (_folder, { onChange }) => {
        const told = (): void => {
          if (!isDead()) onChange();
        };
        this.watchers.add(told);
        return { close: () => void this.watchers.delete(told) };
      },
      loadLarge: (input) =>
        new Promise((resolve) => {
          this.kernel.after(this.chance.between(5, LOAD_MS), () => {
            if (!isDead()) resolve(loadSettings(input));
          });
        }),
    };
  }

  private put(text: string): void {
    this.text = text;
    for (const told of [...this.watchers]) told();
  }
}
