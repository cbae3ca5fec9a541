import type { Kernel } from '../kernel/kernel.ts';
import type { ActorEnd } from '../net/actor-end.ts';
import type { SimNetwork } from '../net/sim-network.ts';
import { type Message, MessageReader } from './message-reader.ts';
import { responseBytes, scriptOf } from './script.ts';

/** An endpoint that answers every request as its script says, and keeps connections open. */
export class OrderlyEndpoint {
  /** Ids of the requests that it got, in order. */
  readonly got: string[] = [];
  /** What is wrong with a request that it got. */
  readonly faults: string[] = [];
  private readonly kernel: Kernel;
  readonly close: () => void;

  constructor(kernel: Kernel, network: SimNetwork, port: number) {
    this.kernel = kernel;
    this.close = network.serve(port, (end) => this.accept(end));
  }

  private accept(end: ActorEnd): void {
    const reader = new MessageReader((line) => !line.startsWith('POST'));
    end.handler = {
      onBytes: (bytes) => {
        reader.add(bytes);
        for (let got = reader.take(); got !== null; got = reader.take()) this.answer(end, got);
      },
      onEnd: () => end.end(),
      onReset() {},
    };
  }

  private answer(end: ActorEnd, { line, body }: Message): void {
    const match = /^(\w+) \/(\S+) HTTP\/1\.1$/.exec(line);
    const id = match?.[2] ?? '';
    const script = scriptOf(this.kernel, id);
    this.got.push(id);
    if (match?.[1] !== script.method) this.faults.push(`request line: ${line}`);
    if (!body.equals(script.requestBody)) this.faults.push(`body of request ${id} is another`);
    this.kernel.after(script.thinkMs, () => end.write(responseBytes(id, script)));
  }
}
