// What those who validate a challenge of ACME have in common, by TLS or by HTTP: they come once, at their time, wait so
// long and no longer, and hold nothing against a listener that had cause to cut or refuse.
import type { Chance } from '../../kernel/chance.ts';
import type { ActorEnd, ActorHandler } from '../../net/actor-end.ts';
import type { ActorTls } from '../../tls/tls-end.ts';
import type { ClientSetting } from '../http-client.ts';
import { dialIntroduced, drawIntroduction } from '../introductions.ts';
import { domainOf, isOutstanding, type ValidatorPlan } from './orders.ts';

/** A connection on which nothing comes is given up. */
const PATIENCE_MS = 9000;

export abstract class Validating {
  isDone = false;
  protected readonly setting: ClientSetting;
  protected readonly plan: ValidatorPlan;
  /** When it came. */
  private fromMs = 0;

  constructor(setting: ClientSetting, plan: ValidatorPlan) {
    this.setting = setting;
    this.plan = plan;
    setting.kernel.at(plan.startMs, () => {
      const { kernel, book } = setting;
      const { name, kind, order } = plan;
      this.fromMs = kernel.nowMs;
      book.note(`validator ${name} comes: ${kind} for ${domainOf(order)}`);
      this.come(kernel.chance(`validator ${name}`));
    });
  }

  /** Its moment has come: it dials. */
  protected abstract come(chance: Chance): void;

  /** Nothing came for too long; the connection is reset already. */
  protected abstract gaveUp(): void;

  /** Connects from this address, with an introduction where the listener takes them. */
  protected dial(
    { chance, address }: { chance: Chance; address: string },
    handler: ActorHandler,
    drawTls: () => ActorTls | null = () => null,
  ): ActorEnd {
    const { kernel, network } = this.setting;
    const { name, port, accepts } = this.plan;
    const introduction = drawIntroduction(chance, { address, accepts, port });
    const tls = drawTls();
    const end = dialIntroduced({ kernel, network, chance, name, port, introduction, tls }, handler);
    kernel.after(PATIENCE_MS, () => {
      if (this.isDone) return;
      end.reset();
      this.gaveUp();
    });
    return end;
  }

  /** Whether its challenge was outstanding since it came; null: it came or went meanwhile. */
  protected get isOutstanding(): boolean | null {
    return isOutstanding(this.plan.order, this.fromMs, this.setting.kernel.nowMs);
  }

  protected get isExcused(): boolean {
    const { isNarrow, mayCut, mayRefuse } = this.setting;
    const { service } = this.plan;
    return isNarrow || mayCut(service) || mayRefuse(service);
  }

  protected wrong(text: string): void {
    const { name, service } = this.plan;
    this.setting.book.fault(`validator ${name} ${text}`, service);
  }
}
