import type { Wire } from '../network.ts';

/** What pieces of a body are read from: the wire of a connection, or one stream of a shared one. */
export interface BodySource {
  /** As Wire.forwardTo: base[start,end), which this source handed over, goes to `wire`. */
  forwardTo(wire: Wire, base: Buffer, start: number, end: number): boolean;
  /** Nothing more is handed over, but for what has come already, until it is resumed. */
  pause(): void;
}
