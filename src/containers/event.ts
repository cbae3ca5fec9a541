// One line of an engine's stream of events (GET /events). Docker and Podman name some of them
// differently; what says nothing of a container's life is none. Pure.
import { type Fields, fieldsOf, textOf } from '../base/foreign.ts';
import { parseBounded } from '../base/json-body.ts';

export interface EngineEvent {
  /** Container id. */
  readonly id: string;
  readonly kind: 'change' | 'die' | 'kill';
  /** What the engine calls it. */
  readonly action: string;
  /** The number of the signal of a `kill`; 0 where it is not said. */
  readonly signal: number;
  /** Of a `die`. */
  readonly exitCode: number;
  /** When it happened, ns since the epoch by the engine's clock. */
  readonly atNs: bigint;
}

/** What makes it worth looking at a container again; exec_*, top, attach and the like do not. */
const CHANGES: ReadonlySet<string> = new Set([
  ...['start', 'restart', 'pause', 'unpause', 'rename', 'update', 'stop', 'destroy', 'remove'],
  ...['health_status', 'connect', 'disconnect', 'restore', 'oom', 'cleanup', 'sync'],
]);

/** Null for what concerns no container, and for what is no event. */
export function eventOf(line: Buffer): EngineEvent | null {
  const event = parse(line);
  const actor = fieldsOf(event.Actor);
  const attributes = fieldsOf(actor.Attributes);
  const type = textOf(event.Type);
  // `health_status: healthy`, `exec_start: /bin/sh -c ...`
  const action = (textOf(event.Action) || textOf(event.status)).split(':')[0]!.trim();
  const id = type === 'network' ? textOf(attributes.container) : textOf(actor.ID);
  if (!/^[0-9a-f]{12,128}$/.test(id)) return null;
  if (type !== 'container' && type !== 'network') return null;
  const atNs = timeOf(event);
  const common = { id, action, signal: 0, exitCode: 0, atNs };
  if (action === 'die' || action === 'died') {
    const exitCode = wholeOf(attributes.exitCode ?? attributes.containerExitCode);
    return { ...common, kind: 'die', exitCode };
  }
  if (action === 'kill') {
    return { ...common, kind: 'kill', signal: wholeOf(attributes.signal) };
  }
  return CHANGES.has(action) ? { ...common, kind: 'change' } : null;
}

/** A JSON number of this size is exact to 256 ns, and nothing starts and is stopped within that. */
function timeOf(event: Fields): bigint {
  const { time, timeNano } = event;
  if (isTime(timeNano)) return BigInt(Math.trunc(timeNano));
  return isTime(time) ? BigInt(Math.trunc(time)) * 1_000_000_000n : 0n;
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0;
}

/** Attributes are texts; 0 for what is no whole number. */
function wholeOf(value: unknown): number {
  const number = typeof value === 'number' ? value : Number(textOf(value));
  return Number.isInteger(number) ? number : 0;
}

/** Of an event with every label that a container may have; what is more says nothing of use. */
const VALUES_MAX = 10_000;

function parse(line: Buffer): Fields {
  try {
    return fieldsOf(parseBounded(line, VALUES_MAX));
  } catch {
    return {};
  }
}
