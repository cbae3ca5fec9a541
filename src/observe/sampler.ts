// What the ledger can't tell because it only counts: rates, highest values, latencies of late, and
// how often and how long an endpoint was down. Looks at every counter once a second; a peak that
// comes and goes between two looks is not seen. Nothing here is authoritative: it may be lost.
import type { Clock, Timer } from '../base/clock.ts';
import { REST_MS, type Steps, Turns } from '../base/turns.ts';
import type { ServiceView, TableEvent, TableView } from '../control/view.ts';
import { quantileMs } from '../ledger/histogram.ts';
import { EndpointColumn, ServiceColumn } from '../ledger/layout.ts';
import type { Ledger } from '../ledger/ledger.ts';

const SAMPLE_MS = 1000;
/** Rates that are kept for the line in the dashboard. */
const TREND_LENGTH = 60;
/** Recent latencies are those of the last 30 to 60 seconds. */
const WINDOW_SAMPLES = 30;

export interface Quantiles {
  readonly p50: number;
  readonly p99: number;
}

/** A counter and a level, followed. */
class Meter {
  /** Per second, over the last sample. */
  rate = 0;
  rateMax = 0;
  /** The highest level seen. */
  levelMax = 0;
  /** When the counter last grew, ms since the epoch; 0 for never. */
  lastMs = 0;
  private total = 0;

  take(total: number, level: number, at: { elapsedMs: number; wallMs: number }): void {
    // A slot that was cleared starts from zero.
    const grown = Math.max(0, total - this.total);
    this.total = total;
    this.rate = at.elapsedMs > 0 ? (grown * 1000) / at.elapsedMs : 0;
    this.rateMax = Math.max(this.rateMax, this.rate);
    this.levelMax = Math.max(this.levelMax, level);
    if (grown > 0) this.lastMs = at.wallMs;
  }
}

/** Quantiles of what was added to a histogram of late. */
class RecentLatency {
  private older: Uint32Array | null = null;
  private newer: Uint32Array | null = null;

  /** The window moves on: `buckets` are the counts now. */
  turn(buckets: Float64Array): void {
    this.older = this.newer;
    this.newer = new Uint32Array(buckets);
  }

  /** In ms; zeros where nothing was added of late. */
  quantiles(buckets: Float64Array): Quantiles {
    const { older } = this;
    const added = older === null ? buckets : buckets.map((count, i) => count - older[i]!);
    return { p50: round(quantileMs(added, 0.5)), p99: round(quantileMs(added, 0.99)) };
  }
}

/** What is known of one endpoint beyond its counters. */
class EndpointTrack {
  readonly slot: number;
  readonly meter = new Meter();
  readonly latency = new RecentLatency();
  /** Times it went from taking work to down or ejected. */
  downs = 0;
  private downMs = 0;
  private downFromMs = 0;

  constructor(slot: number) {
    this.slot = slot;
  }

  /** How long it was down in all, ms. */
  downtimeMs(nowMs: number): number {
    return this.downMs + (this.downFromMs === 0 ? 0 : Math.max(0, nowMs - this.downFromMs));
  }

  onEvent({ from, to, atMs }: TableEvent): void {
    if (isDown(to) && !isDown(from) && from !== '') this.downs += 1;
    if (isDown(to) && this.downFromMs === 0) this.downFromMs = atMs;
    if (!isDown(to) && this.downFromMs !== 0) {
      this.downMs += Math.max(0, atMs - this.downFromMs);
      this.downFromMs = 0;
    }
  }
}

export class ServiceTrack {
  readonly slot: number;
  /** Client connections. */
  readonly connections = new Meter();
  /** Exchanges, or sessions for protocols tcp and udp. */
  readonly requests = new Meter();
  readonly latency = new RecentLatency();
  readonly endpoints = new Map<string, EndpointTrack>();
  /** Requests per second, oldest first. */
  readonly trend: number[] = [];
  /** The most that was in flight at its endpoints together. */
  activeMax = 0;
  /** Looks in a row at which nobody was there. */
  quietSamples = 0;

  constructor(slot: number) {
    this.slot = slot;
  }

  /** The track of an endpoint; a new one when another endpoint has come under its name. */
  endpoint(id: string, slot: number): EndpointTrack {
    let track = this.endpoints.get(id);
    if (track === undefined || track.slot !== slot) {
      track = new EndpointTrack(slot);
      this.endpoints.set(id, track);
    }
    return track;
  }

  /** The same for readers, who may look at a table that is not the latest: they make none. */
  known(id: string, slot: number): EndpointTrack {
    const track = this.endpoints.get(id);
    return track?.slot === slot ? track : new EndpointTrack(slot);
  }
}

export interface SamplerSources {
  readonly view: TableView;
  readonly ledger: Ledger;
  readonly clock: Clock;
}

export class Sampler {
  private readonly sources: SamplerSources;
  private readonly tracks = new Map<string, ServiceTrack>();
  private timer: Timer;
  private lastMs: number;
  private lastEvent = 0;
  private samples = 0;
  private isSampling = false;

  constructor(sources: SamplerSources) {
    this.sources = sources;
    this.lastMs = sources.clock.nowMs();
    this.timer = this.schedule();
  }

  close(): void {
    this.timer.cancel();
  }

  /** The track of a service; a new one when another service has come under its name. */
  service(name: string, slot: number): ServiceTrack {
    let track = this.tracks.get(name);
    if (track === undefined || track.slot !== slot) {
      track = new ServiceTrack(slot);
      this.tracks.set(name, track);
    }
    return track;
  }

  /** The same for readers, who may look at a table that is not the latest: they make none. */
  known(name: string, slot: number): ServiceTrack {
    const track = this.tracks.get(name);
    return track?.slot === slot ? track : new ServiceTrack(slot);
  }

  private schedule(): Timer {
    return this.sources.clock.setTimer(SAMPLE_MS, () => {
      this.timer = this.schedule();
      // One that takes longer than a second goes on; what it missed is in the next one.
      if (!this.isSampling) void new Turns(this.sources.clock, REST_MS).run(this.sample());
    });
  }

  private *sample(): Steps {
    this.isSampling = true;
    const { clock, view } = this.sources;
    const nowMs = clock.nowMs();
    const at = { elapsedMs: nowMs - this.lastMs, wallMs: clock.wallMs() };
    this.lastMs = nowMs;
    this.samples += 1;
    const events = this.newEvents();
    const services = view.services();
    for (const service of services) yield* this.sampleService(service, at, events);
    if (this.tracks.size !== services.length) {
      forgetOthers(this.tracks, new Set(services.map(({ service }) => service.name)));
    }
    this.isSampling = false;
  }

  private *sampleService(
    { service, slot, endpoints }: ServiceView,
    at: { readonly elapsedMs: number; readonly wallMs: number },
    events: ReadonlyMap<string, readonly TableEvent[]>,
  ): Steps {
    yield '';
    const { ledger } = this.sources;
    const hasTurned = this.samples % WINDOW_SAMPLES === 0;
    const track = this.service(service.name, slot);
    const total = (column: number) => ledger.serviceTotal(slot, column);
    track.connections.take(total(ServiceColumn.connections), ledger.connections(slot), at);
    track.requests.take(total(ServiceColumn.requests), 0, at);
    track.trend.push(track.requests.rate);
    if (track.trend.length > TREND_LENGTH) track.trend.shift();
    if (hasTurned) track.latency.turn(ledger.serviceBuckets(slot));
    const hasMembers = track.endpoints.size === endpoints.length;
    if (this.isQuiet(track, slot) && hasMembers && !hasTurned && events.size === 0) return;
    let active = 0;
    for (const endpoint of endpoints) {
      const followed = track.endpoint(endpoint.id, endpoint.slot);
      const inFlight = ledger.inFlight(endpoint.slot);
      active += inFlight;
      const attempts = ledger.endpointTotal(endpoint.slot, EndpointColumn.attempts);
      followed.meter.take(attempts, inFlight, at);
      if (hasTurned && attempts > 0) followed.latency.turn(ledger.endpointBuckets(endpoint.slot));
      yield '';
      if (events.size === 0) continue;
      for (const event of events.get(keyOf(service.name, endpoint.id)) ?? []) {
        followed.onEvent(event);
      }
    }
    track.activeMax = Math.max(track.activeMax, active);
    if (track.endpoints.size !== endpoints.length) {
      forgetOthers(track.endpoints, new Set(endpoints.map(({ id }) => id)));
    }
  }

  /** Nobody was there at this look and the two before: its endpoints have nothing to tell. */
  private isQuiet(track: ServiceTrack, slot: number): boolean {
    const { connections, requests } = track;
    const isIdle =
      this.sources.ledger.connections(slot) === 0 && connections.rate === 0 && requests.rate === 0;
    track.quietSamples = isIdle ? track.quietSamples + 1 : 0;
    return track.quietSamples > 2;
  }

  /** What has happened since the last look, by service and endpoint. */
  private newEvents(): ReadonlyMap<string, readonly TableEvent[]> {
    const events = this.sources.view.events.since(this.lastEvent);
    this.lastEvent = events.at(-1)?.id ?? this.lastEvent;
    return Map.groupBy(events, (event) => keyOf(event.service, event.endpoint));
  }
}

function keyOf(service: string, endpoint: string): string {
  return `${service}\0${endpoint}`;
}

function forgetOthers(tracks: Map<string, unknown>, names: ReadonlySet<string>): void {
  for (const name of tracks.keys()) if (!names.has(name)) tracks.delete(name);
}

function isDown(state: string): boolean {
  return state === 'down' || state === 'ejected';
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
