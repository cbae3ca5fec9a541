// A data-plane worker: applies snapshots, opens and closes listeners, drains. Requests go from the
// wire to their connection without passing here.
import { withFields } from '../base/log.ts';
import { formatListen } from '../model/listener.ts';
import type { ListenerSnapshot, SnapshotDelta } from '../model/snapshot.ts';
import type { WorkerContext } from '../proxy/context.ts';
import { ClientConnection } from '../proxy/http/client-connection.ts';
import { HttpPlane } from '../proxy/http/plane.ts';
import { type Drainable, LiveListener } from '../proxy/listener.ts';
import { type LiveEndpoint, LiveService } from '../proxy/live-service.ts';
import { TcpSession } from '../proxy/tcp/session.ts';
import type { Wire } from '../proxy/wire.ts';
import type { ListenError } from './messages.ts';

/** How often an address that could not be opened is tried again. */
const REOPEN_MS = 2000;

export class Worker {
  private readonly context: WorkerContext;
  private readonly plane: HttpPlane;
  private readonly listeners = new Map<string, LiveListener>();
  /** Listeners that are wanted and could not be opened. */
  private readonly refused = new Map<string, ListenError>();
  private reopen: NodeJS.Timeout | null = null;
  private applying: Promise<void> = Promise.resolve();
  private isDraining = false;

  constructor(context: WorkerContext) {
    this.context = context;
    this.plane = new HttpPlane(context);
  }

  /**
   * Makes a delta live. Resolves when requests see it and its listeners are open or refused, with
   * everything that is refused now. Deltas are applied one after the other, in order.
   */
  async apply(delta: SnapshotDelta): Promise<ListenError[]> {
    const before = this.applying;
    const done = before.then(() => this.applyNow(delta));
    this.applying = done;
    await done;
    return [...this.refused.values()];
  }

  private async applyNow(delta: SnapshotDelta): Promise<void> {
    const { services } = this.context;
    for (const snapshot of delta.upsert) {
      const live = services.get(snapshot.service.name);
      if (live === undefined || live.slot !== snapshot.slot) {
        live?.close();
        services.set(snapshot.service.name, new LiveService(snapshot, this.context));
      } else {
        for (const endpoint of live.apply(snapshot)) this.endpointWentDown(endpoint);
      }
    }
    for (const name of delta.remove) {
      services.get(name)?.close();
      services.delete(name);
    }
    if (delta.listeners !== null) await this.setListeners(delta.listeners);
    else
      for (const listener of this.listeners.values()) listener.apply(listener.snapshot, services);
  }

  private endpointWentDown(endpoint: LiveEndpoint): void {
    this.plane.endpointWentDown(endpoint);
  }

  private async setListeners(wanted: readonly ListenerSnapshot[]): Promise<void> {
    const keys = new Set(wanted.map((snapshot) => snapshot.key));
    for (const [key, listener] of this.listeners) {
      const snapshot = wanted.find((one) => one.key === key);
      if (snapshot !== undefined && snapshot.protocol === listener.snapshot.protocol) continue;
      this.listeners.delete(key);
      void listener.drain();
    }
    for (const key of this.refused.keys()) if (!keys.has(key)) this.refused.delete(key);
    await Promise.all(wanted.map((snapshot) => this.setListener(snapshot)));
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
    const listener = new LiveListener(snapshot);
    listener.apply(snapshot, services);
    try {
      await listener.open(this.accept);
      this.listeners.set(snapshot.key, listener);
      this.refused.delete(snapshot.key);
    } catch (error) {
      this.refused.set(snapshot.key, listenErrorOf(snapshot, error as NodeJS.ErrnoException));
      this.reopenLater(snapshot);
    }
  }

  private reopenLater(snapshot: ListenerSnapshot): void {
    this.reopen ??= setTimeout(() => {
      this.reopen = null;
      if (this.refused.has(snapshot.key))
        this.applying = this.applying.then(() => this.retryRefused(snapshot));
    }, REOPEN_MS).unref();
  }

  private async retryRefused(snapshot: ListenerSnapshot): Promise<void> {
    await this.setListener(snapshot);
    if (this.refused.has(snapshot.key)) return;
    withFields(this.context.log, { listener: snapshot.key }).info({}, 'listener opened');
  }

  private readonly accept = (wire: Wire, listener: LiveListener): Drainable =>
    listener.snapshot.protocol === 'tcp'
      ? new TcpSession(wire, listener, this.context)
      : new ClientConnection(wire, listener, this.plane);

  /**
   * Accepts no more, finishes what is in flight, and cuts what is left after `graceMs`. Resolves
   * with the number of connections that were cut.
   */
  async drain(graceMs: number): Promise<number> {
    this.isDraining = true;
    await this.applying;
    const listeners = [...this.listeners.values()];
    const finished = Promise.all(listeners.map((listener) => listener.drain()));
    let timer: NodeJS.Timeout | undefined;
    const graceOver = new Promise<'over'>((resolve) => {
      timer = setTimeout(() => resolve('over'), graceMs);
    });
    const outcome = await Promise.race([finished, graceOver]);
    clearTimeout(timer);
    this.context.accessLog?.flush();
    if (outcome !== 'over') return 0;
    return listeners.reduce((sum, listener) => sum + listener.abort(), 0);
  }
}

function listenErrorOf(snapshot: ListenerSnapshot, error: NodeJS.ErrnoException): ListenError {
  const code = error.code ?? '';
  const what = {
    EADDRINUSE: 'the address is already in use by another process',
    EACCES: 'not permitted: ports below 1024 need root or CAP_NET_BIND_SERVICE',
    EADDRNOTAVAIL: 'the address does not belong to this machine',
  }[code];
  const owner = snapshot.service === '' ? 'a router' : `service ${snapshot.service}`;
  const message = `${owner} can't listen on ${formatListen(snapshot.address)}: ${what ?? error.message}`;
  return { listener: snapshot.key, service: snapshot.service, code, message };
}
