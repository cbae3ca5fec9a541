// The configurations of late: a reload takes its time, and until then what the one before it wants is right.
import { SimConfig } from '../control/sim-config.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { configText, followedBy, prioritiesOf, type Shape } from './members.ts';
import { KIOSK } from './zookeeper-registrar.ts';

/** Configurations of the last so long are regarded. */
const RELOAD_MS = 15_000;
/** Who sends a signal has written the file by then. */
const SIGNAL_MS = 40;

/** Of services that describe themselves. */
const OWN_SOURCES: readonly (readonly [string, readonly string[]])[] = [
  ['shop', ['etcd|shop']],
  [KIOSK, [`zookeeper|${KIOSK}`]],
];

export class Configurations {
  readonly config: SimConfig;
  private readonly kernel: Kernel;
  private readonly shape: Shape;
  private variants: { readonly variant: number; untilMs: number }[] = [
    { variant: 0, untilMs: Number.POSITIVE_INFINITY },
  ];

  constructor(kernel: Kernel, shape: Shape) {
    this.kernel = kernel;
    this.shape = shape;
    this.config = new SimConfig(kernel, configText(0, shape));
  }

  /** `signal` reaches the process that runs then. */
  reload(variant: number, signal: () => void): void {
    const { kernel, config, shape } = this;
    const { nowMs } = kernel;
    for (const one of this.variants) one.untilMs = Math.min(one.untilMs, nowMs + RELOAD_MS);
    this.variants = this.variants.filter(({ untilMs }) => untilMs > nowMs);
    this.variants.push({ variant, untilMs: Number.POSITIVE_INFINITY });
    config.write(configText(variant, shape));
    kernel.after(SIGNAL_MS, signal);
  }

  /** The priorities of the sources of the service that has some, in their order. */
  priorities(): readonly number[] {
    return prioritiesOf(this.variants.at(-1)!.variant);
  }

  /** The sources, as `registry|service`, of each service now. */
  sources(): Iterable<readonly [string, readonly string[]]> {
    return [...followedBy(this.variants.at(-1)!.variant, this.shape.isReplacing), ...OWN_SOURCES];
  }

  /** Those that every configuration of late follows for a service. */
  followedOfLate(service: string): readonly string[] {
    const own = OWN_SOURCES.find(([name]) => name === service);
    if (own !== undefined) return own[1];
    const { nowMs } = this.kernel;
    const all = this.variants
      .filter(({ untilMs }) => untilMs > nowMs)
      .map(({ variant }) => followedBy(variant, this.shape.isReplacing).get(service) ?? []);
    return (all[0] ?? []).filter((source) => all.every((sources) => sources.includes(source)));
  }
}
