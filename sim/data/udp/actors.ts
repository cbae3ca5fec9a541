// Clients and endpoints of datagrams. Each datagram names its client and its number (`>c3-7.`), each answer the
// datagram that it is for and itself (`<c3-7@e1.4.`).
import type { Chance } from '../../kernel/chance.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import type { SimDatagrams } from '../../net/sim-datagrams.ts';
import { marked } from '../request-script.ts';
import type { UdpClientPlan, UdpEndpointPlan } from './plan.ts';

export interface UdpSetting {
  readonly kernel: Kernel;
  readonly network: SimDatagrams;
  readonly fault: (text: string) => void;
  readonly note: (text: string) => void;
  /** Answers by their tags, as they were sent, and to whom. */
  readonly answers: Map<string, { readonly bytes: Buffer; readonly client: string }>;
}

/** What stands between the first mark and the first dot. */
export function tagOf(bytes: Buffer): string {
  return /^[<>]([^.]+\.?\d*)\./.exec(bytes.toString('latin1', 0, 40))?.[1] ?? '';
}

const PAD_BYTES = 20;

export class UdpClient {
  isDone = false;
  /** Answers that came, by the number of the datagram that they are for. */
  readonly got = new Map<number, number>();
  readonly plan: UdpClientPlan;
  private readonly setting: UdpSetting;
  private readonly chance: Chance;
  private readonly port: number;
  private sent = 0;

  constructor(setting: UdpSetting, plan: UdpClientPlan, port: number) {
    this.setting = setting;
    this.plan = plan;
    this.port = port;
    this.chance = setting.kernel.chance(`client ${plan.name}`);
    setting.network.bind(plan.source, (bytes, from) => this.take(bytes, from));
    setting.kernel.at(plan.startMs, () => this.next());
  }

  private next(): void {
    const { plan, setting, chance } = this;
    if (this.sent === plan.count) {
      this.isDone = true;
      return;
    }
    const id = `${plan.name}-${this.sent}`;
    this.sent += 1;
    setting.network.send(plan.source, this.port, marked(PAD_BYTES + id.length, `>${id}.`));
    setting.kernel.after(chance.between(0, plan.everyMs), () => this.next());
  }

  private take(bytes: Buffer, from: number): void {
    const { plan, setting } = this;
    const tag = tagOf(bytes);
    const answer = setting.answers.get(tag);
    if (answer === undefined || !answer.bytes.equals(bytes))
      setting.fault(`client ${plan.name} gets what nobody sent: ${tag}`);
    else if (answer.client !== plan.name)
      setting.fault(`client ${plan.name} gets ${tag}, an answer to ${answer.client}`);
    if (from !== this.port) setting.fault(`client ${plan.name} is answered by port ${from}`);
    const number = Number(/-(\d+)@/.exec(tag)?.[1]);
    this.got.set(number, (this.got.get(number) ?? 0) + 1);
  }
}

export class UdpEndpoint {
  /** Datagrams that came, by their tags. */
  readonly seen = new Map<string, number>();
  readonly plan: UdpEndpointPlan;
  private readonly setting: UdpSetting;
  private readonly chance: Chance;
  private readonly responses: number | null;
  private answers = 0;

  constructor(setting: UdpSetting, plan: UdpEndpointPlan, responses: number | null) {
    this.setting = setting;
    this.plan = plan;
    this.responses = responses;
    this.chance = setting.kernel.chance(`endpoint ${plan.name}`);
  }

  readonly take = (bytes: Buffer, answer: (bytes: Buffer) => void): void => {
    const { plan, setting, chance } = this;
    const tag = tagOf(bytes);
    this.seen.set(tag, (this.seen.get(tag) ?? 0) + 1);
    if (!bytes.equals(marked(bytes.length, `>${tag}.`)))
      setting.fault(`endpoint ${plan.name} gets ${JSON.stringify(bytes.toString('latin1'))}`);
    if (setting.kernel.trace.isOn) setting.note(`endpoint ${plan.name} gets ${tag}`);
    if (chance.happens(plan.silentShare)) return;
    // Where answers are not counted there may be any number of them.
    const usual = this.responses ?? (plan.surplusShare > 0 ? chance.int(0, 3) : 1);
    const count = usual + (chance.happens(plan.surplusShare) ? 1 : 0);
    const lateMs = chance.happens(plan.lateShare) ? chance.between(500, 4000) : 0;
    for (let i = 0; i < count; i += 1) this.answer(tag, lateMs, answer);
  };

  private answer(tag: string, lateMs: number, send: (bytes: Buffer) => void): void {
    const { plan, setting, chance } = this;
    this.answers += 1;
    const own = `${tag}@${plan.name}.${this.answers}`;
    const bytes = marked(plan.answerBytes, `<${own}.`);
    setting.answers.set(own, { bytes, client: tag.split('-')[0]! });
    setting.kernel.after(lateMs + chance.between(0, plan.answerMs), () => send(bytes));
  }
}
