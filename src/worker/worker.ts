// A data-plane worker: applies snapshots, opens and closes listeners, drains. Requests go from the
// wire to their connection without passing here.
import type { Timer } from '../base/clock.ts';
import { codeOf, messageOf } from '../base/coded-error.ts';
import { formatListen, type ListenAddress, type ListenError } from '../model/listener.ts';
import type { ListenerSnapshot, SnapshotDelta } from '../model/snapshot.ts';
import type { TlsMaterial, UpstreamMaterial } from '../model/tls.ts';
import type { WorkerContext } from '../proxy/context.ts';
import { ClientConnection } from '../proxy/http/http1/client-connection.ts';
import { Http2ClientConnection } from '../proxy/http/http2/client-connection.ts';
import { HttpPlane } from '../proxy/http/plane.ts';
import { type Drainable, LiveListener } from '../proxy/listener.ts';
import { LiveService } from '../proxy/live-service.ts';
import type { Wire } from '../proxy/network.ts';
import type { DepartedSessions } from '../proxy/sessions/departed-sessions.ts';
import { HelloReader } from '../proxy/tcp/hello-reader.ts';
import { TcpSession } from '../proxy/tcp/session.ts';
import { UdpListener } from '../proxy/udp/listener.ts';

type AnyListener = LiveListener | UdpListener;

/** How often addresses that could not be opened are tried again. */
const REOPEN_MS = 2000;

export class Worker {
  private readonly context: WorkerContext;
  private readonly onReopened: (refused: readonly ListenError[]) => void;
  private readonly plane: HttpPlane;
  private readonly listeners = new Map<string, AnyListener>();
  /** Sessions of services that are gone, by their names. */
  private readonly departed = new Map<string, DepartedSessions>();
  /** Listeners that accept no more and still have connections. */
  private readonly retired = new Set<AnyListener>();
  /** Listeners that are wanted and could not be opened. */
  private readonly refused = new Map<string, { snapshot: ListenerSnapshot; error: ListenError }>();
  private reopening: Timer | null = null;
  private applying: Promise<void> = Promise.resolve();
  private isDraining = false;

  /** `onReopened`: refused listeners could be opened after all; given is what is refused still. */
  constructor(context: WorkerContext, onReopened: (refused: readonly ListenError[]) => void) {
    this.context = context;
    this.onReopened = onReopened;
    this.plane = new HttpPlane(context);
  }

  /**
   * Makes a delta live. Resolves when requests see it and its listeners are open or refused, with
   * everything that is refused now. Deltas are applied one after the other, in order.
   */
  async apply(delta: SnapshotDelta): Promise<ListenError[]> {
    this.applying = this.applying.then(() => this.applyNow(delta));
    await this.applying;
    return this.listenErrors();
  }

  private async applyNow(delta: SnapshotDelta): Promise<void> {
    const hasOthers = this.applyServices(delta);
    if (hasOthers) for (const one of this.retired) one.refind(this.context.services);
    if (delta.listeners !== null) await this.setListeners(delta.listeners);
    else if (hasOthers) {
      for (const listener of this.listeners.values()) {
        listener.apply(listener.snapshot, this.context.services);
      }
    }
  }

  /** Returns whether a service came or went, so that listeners must look theirs up again. */
  private applyServices(delta: SnapshotDelta): boolean {
    const { services } = this.context;
    let hasOthers = delta.remove.length > 0;
    for (const snapshot of delta.upsert) {
      const { name } = snapshot.service;
      const live = services.get(name);
      if (live !== undefined && live.slot === snapshot.slot) {
        for (const endpoint of live.apply(snapshot, this.plane.endpointLostRole))
          this.plane.endpointWentDown(endpoint);
        continue;
      }
      if (live !== undefined) this.closeService(live);
      const departed = this.departed.get(name);
      this.departed.delete(name);
      services.set(name, new LiveService(snapshot, this.context, departed));
      hasOthers = true;
    }
    for (const name of delta.remove) {
      const live = services.get(name);
      if (live !== undefined) this.closeService(live);
      services.delete(name);
    }
    return hasOthers;
  }

  /** Its sessions may go on; a service of its name finds them. */
  private closeService(live: LiveService): void {
    const { departed } = this;
    live.close(this.plane.endpointLostRole);
    for (const [name, { isEmpty }] of departed) if (isEmpty) departed.delete(name);
    if (!live.departed.isEmpty) departed.set(live.name, live.departed);
  }

  private async setListeners(wanted: readonly ListenerSnapshot[]): Promise<void> {
    const byKey = new Map(wanted.map((snapshot) => [snapshot.key, snapshot]));
    const unwanted = [...this.listeners].filter(
      ([key, listener]) => byKey.get(key)?.protocol !== listener.snapshot.protocol,
    );
    for (const [key] of unwanted) this.listeners.delete(key);
    for (const key of this.refused.keys()) if (!byKey.has(key)) this.refused.delete(key);
    const close = (...kinds: readonly ListenAddress['kind'][]) =>
      unwanted
        .filter(([, listener]) => kinds.includes(listener.snapshot.address.kind))
        .map(([, listener]) => this.retire(listener));
    // Two can't share a path. On a port the new one opens first, so that no client is refused, and the
    // old one must be closed before this is live: it would read the connections in its own protocol.
    await Promise.all(close('unix'));
    await Promise.all([...wanted.map((one) => this.setListener(one)), ...close('tcp', 'udp')]);
  }

  /** Resolves when it accepts no more; connections go on until what is in flight has finished. */
  private retire(listener: AnyListener): Promise<void> {
    this.retired.add(listener);
    const closed = listener.close();
    void closed.then(() => listener.drain()).then(() => this.retired.delete(listener));
    return closed;
  }

  private async setListener(snapshot: ListenerSnapshot): Promise<void> {
    const { services, index } = this.context;
    const known = this.listeners.get(snapshot.key);
    if (known !== undefined) {
      known.apply(snapshot, services);
      return;
    }
    // A unix socket can't be shared by reusePort: the first worker has it.
    if (snapshot.address.kind === 'unix' && index !== 0) return;
    if (this.isDraining) return;
    const isUdp = snapshot.address.kind === 'udp';
    const listener = new (isUdp ? UdpListener : LiveListener)(snapshot, this.context);
    listener.apply(snapshot, services);
    try {
      await listener.open(this.accept);
      this.listeners.set(snapshot.key, listener);
      this.refused.delete(snapshot.key);
    } catch (error) {
      this.refused.set(snapshot.key, { snapshot, error: listenErrorOf(snapshot, error) });
      this.reopening ??= this.context.clock.setTimer(REOPEN_MS, () => this.reopen());
    }
  }

  /** Tries what was refused once more, between deltas. */
  private reopen(): void {
    this.applying = this.applying.then(async () => {
      this.reopening = null;
      const before = [...this.refused.keys()];
      await Promise.all(
        [...this.refused.values()].map(({ snapshot }) => this.setListener(snapshot)),
      );
      const opened = before.filter((key) => !this.refused.has(key));
      if (opened.length === 0) return;
      this.context.log.info({ listeners: opened }, 'listeners opened that were refused before');
      this.onReopened(this.listenErrors());
    });
  }

  /** The certificates of all listeners; connections that are open keep those that they have. */
  setTls(materials: readonly TlsMaterial[], upstream: readonly UpstreamMaterial[] = []): void {
    const { services, tls, upstreamTls } = this.context;
    tls.clear();
    for (const material of materials) tls.set(material.key, material);
    upstreamTls.clear();
    for (const material of upstream) upstreamTls.set(material.key, material);
    for (const service of services.values()) service.renewTls();
  }

  /** Short of memory, connections that lie idle go; how many requests are taken is the planes' part. */
  setMemory(isShort: boolean): void {
    const { memory, services } = this.context;
    memory.isShort = isShort;
    if (!isShort) return;
    for (const service of services.values()) service.closeIdle();
    for (const listener of this.listeners.values()) listener.drainIdle();
  }

  private listenErrors(): ListenError[] {
    return [...this.refused.values()].map(({ error }) => error);
  }

  private readonly accept = (wire: Wire, listener: LiveListener): Drainable => {
    const { protocol, sniRoutes } = listener.snapshot;
    if (sniRoutes !== undefined) return new HelloReader(wire, listener, this.context);
    if (protocol === 'tcp') return new TcpSession(wire, listener, this.context);
    return wire.tls?.protocol === 'h2'
      ? new Http2ClientConnection(wire, listener, this.plane)
      : new ClientConnection(wire, listener, this.plane);
  };

  /**
   * Accepts no more, finishes what is in flight, and cuts what is left after `graceMs`. Resolves
   * with the number of connections that were cut.
   */
  async drain(graceMs: number): Promise<number> {
    this.isDraining = true;
    await this.applying;
    this.reopening?.cancel();
    const listeners = [...this.listeners.values(), ...this.retired];
    const { clock } = this.context;
    let timer: Timer | undefined;
    const isOver = await Promise.race([
      Promise.all(listeners.map((listener) => listener.drain())).then(() => false),
      new Promise<boolean>((resolve) => {
        timer = clock.setTimer(graceMs, () => resolve(true));
      }),
    ]);
    timer?.cancel();
    const cut = isOver ? listeners.reduce((sum, listener) => sum + listener.abort(), 0) : 0;
    // Connections that were cut write their lines when they close, within this turn of the loop.
    if (cut > 0) await new Promise<void>((resolve) => clock.nextTurn(resolve));
    this.context.accessLog?.flush();
    return cut;
  }
}

const EXPLAINED: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the address is already in use by another process',
  EACCES: 'not permitted: ports below 1024 need root or CAP_NET_BIND_SERVICE',
  EADDRNOTAVAIL: 'the address does not belong to this machine',
};

function listenErrorOf(snapshot: ListenerSnapshot, error: unknown): ListenError {
  const code = codeOf(error);
  const owner = snapshot.service === '' ? 'a router' : `service ${snapshot.service}`;
  const why = EXPLAINED[code] ?? messageOf(error);
  const message = `${owner} can't listen on ${formatListen(snapshot.address)}: ${why}`;
  return { listener: snapshot.key, service: snapshot.service, code, message };
}
