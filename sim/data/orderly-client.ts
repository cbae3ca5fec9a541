import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { ActorEnd } from '../net/actor-end.ts';
import type { SimNetwork } from '../net/sim-network.ts';
import { type Message, MessageReader } from './message-reader.ts';
import { requestBytes, type Script, scriptOf } from './script.ts';

export interface ClientPlan {
  readonly name: string;
  readonly port: number;
  /** How many requests it sends, one after the other. */
  readonly requests: number;
}

/** A client that sends a request, waits for the whole answer, and compares it with the script. */
export class OrderlyClient {
  /** Requests that were answered, rightly or not. */
  answered = 0;
  isDone = false;
  /** How an answer differs from the script, or why there was none. */
  readonly faults: string[] = [];
  private readonly kernel: Kernel;
  private readonly plan: ClientPlan;
  private readonly chance: Chance;
  private readonly end: ActorEnd;
  private readonly reader = new MessageReader((line) => this.hasNoBody(line));
  private id = '';
  private script: Script | null = null;

  constructor(kernel: Kernel, network: SimNetwork, plan: ClientPlan) {
    this.kernel = kernel;
    this.plan = plan;
    this.chance = kernel.chance(`client ${plan.name}`);
    this.end = network.dial(plan.name, plan.port, {
      onOpen: () => this.ask(),
      onRefused: (code) => this.lost(`connecting: ${code}`),
      onBytes: (bytes) => this.take(bytes),
      onEnd: () => this.lost('the connection was ended'),
      onReset: () => this.lost('the connection was reset'),
    });
  }

  private hasNoBody(line: string): boolean {
    return this.script?.method === 'HEAD' || / (204|304) /.test(line);
  }

  private ask(): void {
    this.id = `${this.plan.name}-${this.answered}`;
    this.script = scriptOf(this.kernel, this.id);
    this.note(`asks ${this.script.method} /${this.id}`);
    this.end.write(requestBytes(this.id, this.script));
  }

  private take(bytes: Buffer): void {
    if (this.script === null) {
      this.faults.push(`${bytes.length} bytes without a request`);
      return;
    }
    this.reader.add(bytes);
    const answer = this.reader.take();
    if (answer === null) return;
    this.compare(answer, this.script);
    this.script = null;
    this.answered += 1;
    if (this.answered === this.plan.requests) {
      this.isDone = true;
      this.end.close();
    } else
      this.kernel.after(this.chance.happens(0.7) ? 0 : this.chance.between(0, 50), () =>
        this.ask(),
      );
  }

  private compare({ line, fields, body }: Message, script: Script): void {
    const { id } = this;
    this.note(`gets ${line}, ${body.length} bytes, for ${id}`);
    if (this.reader.restLength > 0) this.faults.push(`bytes after the answer to ${id}`);
    const status = Number(line.split(' ')[1]);
    if (status !== script.status) this.faults.push(`${id}: status ${status}, not ${script.status}`);
    else if (fields.get('x-id') !== id) this.faults.push(`${id}: got the head of another request`);
    else if (!body.equals(script.body))
      this.faults.push(`${id}: body of ${body.length} bytes differs`);
  }

  private lost(why: string): void {
    if (this.isDone) return;
    this.isDone = true;
    this.faults.push(`${this.id}: ${why}`);
    this.note(why);
    this.end.close();
  }

  private note(what: string): void {
    const { trace, nowMs } = this.kernel;
    if (trace.isOn) trace.add(nowMs, `client ${this.plan.name} ${what}`);
  }
}
