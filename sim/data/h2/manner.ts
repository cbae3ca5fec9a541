// How an actor goes about its side of an HTTP/2 connection, drawn.
import type { Chance } from '../../kernel/chance.ts';
import { Setting } from './frames.ts';

export interface PeerManner {
  /** What it says at the beginning. */
  readonly settings: readonly (readonly [id: number, value: number])[];
  readonly connectionWindow: number;
  /** Windows are shut until SETTINGS open them, after so long; 0: they are not. */
  readonly opensMs: number;
  /** Windows open again after a while; otherwise as soon as they are closed. */
  readonly isSlow: boolean;
  /** By so many bytes, and after so long at most. */
  readonly stepBytes: number;
  readonly stepMs: number;
  /** Frames of content that it cuts a message into, about; and the share that has padding. */
  readonly cuts: number;
  readonly paddedShare: number;
  /** Share of header blocks that go in several frames. */
  readonly splitShare: number;
}

const DEFAULT_WINDOW = 65_535;

/** `bodyMax`: the largest body that comes: a window that opens by small steps opens often for it. */
export function drawManner(chance: Chance, bodyMax: number): PeerManner {
  const settings: [number, number][] = [];
  const isSlow = chance.happens(0.25);
  const least = Math.ceil(bodyMax / 40);
  const isShut = !isSlow && chance.happens(0.15);
  if (isShut) settings.push([Setting.window, chance.happens(0.5) ? 0 : chance.int(1, 300)]);
  else if (isSlow || chance.happens(0.3)) {
    const window = chance.happens(0.5) ? chance.size(1, 2000) : chance.size(1000, 1_000_000);
    settings.push([Setting.window, window]);
  }
  if (chance.happens(0.3)) settings.push([Setting.tableBytes, chance.pick([0, 100, 4096, 65_536])]);
  if (chance.happens(0.3)) settings.push([Setting.frameBytes, chance.int(16_384, 100_000)]);
  // A setting that nobody knows (section 6.5.2).
  if (chance.happens(0.1)) settings.push([0x1234, 5]);
  return {
    settings,
    connectionWindow: chance.pick([DEFAULT_WINDOW, DEFAULT_WINDOW, 1_000_000, 10_000_000]),
    opensMs: isShut ? chance.between(1, 150) : 0,
    isSlow,
    stepBytes: chance.int(least, 4 * least),
    stepMs: chance.between(0, 20),
    cuts: chance.pick([1, 1, 3, 20]),
    paddedShare: chance.pick([0, 0, 0.3]),
    splitShare: chance.pick([0, 0, 0.3]),
  };
}

/** What it says in the middle: windows that become larger and smaller, tables, a sign of life. */
export function drawChange(chance: Chance): readonly (readonly [id: number, value: number])[] {
  const window = chance.happens(0.5) ? chance.size(1, 2000) : chance.size(1000, 1_000_000);
  return [
    ...(chance.happens(0.7) ? [[Setting.window, window] as const] : []),
    ...(chance.happens(0.3) ? [[Setting.tableBytes, chance.int(0, 8192)] as const] : []),
    ...(chance.happens(0.3) ? [[Setting.frameBytes, chance.int(16_384, 100_000)] as const] : []),
  ];
}
