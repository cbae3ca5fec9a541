// Who waits for this process's stats port: a newer process on the same address, during an upgrade. It
// holds a request open (POST /api/v1/takeover), which is answered when this process has stopped
// listening there. That happens when it drains, and not before.
import type { IncomingMessage } from 'node:http';
import { type AccessSettings, isProxied, isThisMachine } from './access.ts';
import { readBody, refusal } from './admin.ts';
import { type Call, sendError, sendJson } from './reply.ts';

/** The other process of an upgrade. */
export interface Sibling {
  readonly pid: number;
  readonly version: string;
  /** ms since the epoch: since when it waits, or when its port was taken over. */
  readonly at: number;
}

export interface Successor extends Sibling {
  /** Its listeners are open and its registries have answered. */
  readonly ready: boolean;
}

export interface SuccessionOptions {
  readonly access: AccessSettings;
  readonly wallMs: () => number;
  /** Stops listening; what is connected stays. */
  readonly release: () => void;
}

export class Succession {
  private readonly options: SuccessionOptions;
  private readonly waiting = new Map<Call, Successor>();
  private isDraining = false;

  constructor(options: SuccessionOptions) {
    this.options = options;
  }

  /** The process that waits; one that is ready before others. Null for none. */
  get successor(): Successor | null {
    const all = [...this.waiting.values()];
    return all.find(({ ready }) => ready) ?? all[0] ?? null;
  }

  /** GET: 200 once a process that waits is ready, so that a script can wait for that. */
  show(call: Call): Promise<void> {
    const { successor } = this;
    if (successor === null) return sendError(call, 503, 'no process waits for this stats port');
    if (!successor.ready) return sendError(call, 503, `process ${successor.pid} is not ready yet`);
    return sendJson(call, 200, successor);
  }

  /** POST: answered when the port is free. */
  async wait(call: Call): Promise<void> {
    const why = refusalOf(call.request, this.options.access);
    if (why !== '') return sendError(call, 403, why);
    const successor = successorOf(await readBody(call.request), this.options.wallMs());
    if (successor === null) {
      return sendError(call, 400, 'expected {"pid": 1, "version": "1.2.3", "ready": true}');
    }
    call.hold();
    this.waiting.set(call, successor);
    call.response.once('close', () => this.waiting.delete(call));
    if (this.isDraining) this.release();
  }

  /** This process drains: whoever waits, now or later, gets the port. */
  drain(): void {
    this.isDraining = true;
    if (this.waiting.size > 0) this.release();
  }

  private release(): void {
    this.options.release();
    for (const call of [...this.waiting.keys()]) {
      this.waiting.delete(call);
      call.response.setHeader('connection', 'close');
      void sendJson(call, 200, { released: true });
    }
  }
}

/** As for any change; a connection from the very address that it reaches is of this machine too. */
function refusalOf(request: IncomingMessage, access: AccessSettings): string {
  const { headers, socket } = request;
  const isOwn = access.adminToken === '' && isThisMachine(socket) && !isProxied(headers);
  return isOwn && headers.origin === undefined ? '' : refusal(request, access);
}

function successorOf(body: string | null, at: number): Successor | null {
  try {
    const parsed: unknown = JSON.parse(body ?? '');
    if (typeof parsed !== 'object' || parsed === null) return null;
    const { pid, version, ready } = parsed as Record<string, unknown>;
    if (typeof pid !== 'number' || !Number.isInteger(pid) || typeof version !== 'string')
      return null;
    return { pid, version: version.slice(0, 50), ready: ready === true, at };
  } catch {
    return null;
  }
}
