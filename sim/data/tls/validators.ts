// A certificate authority that validates a challenge by TLS: it must be shown the certificate of the challenge while
// that is outstanding and if it asks as RFC 8737 says, and no other time; nothing follows it.
import type { Chance } from '../../kernel/chance.ts';
import type { ActorHandler } from '../../net/actor-end.ts';
import type { ActorTls } from '../../tls/tls-end.ts';
import { challengeChain, domainOf } from './orders.ts';
import { Validating } from './validating.ts';

const PROTOCOL = 'acme-tls/1';
const ADDRESS = '10.9.8.6';
/** The end of a connection has come by then. */
const ENDS_MS = 1500;

export class Validator extends Validating {
  private shown = '';

  protected come(chance: Chance): void {
    const handler: ActorHandler = {
      onOpen() {},
      onRefused: () => this.failed(),
      onBytes: (bytes) => this.wrong(`is sent ${bytes.length} bytes`),
      onEnd: () => {
        end.close();
        this.done();
      },
      onReset: () => this.failed(),
    };
    const end = this.dial({ chance, address: ADDRESS }, handler, () =>
      this.drawTls(chance.int(0, 2 ** 32 - 1), chance.happens(0.3) ? chance.int(2, 5) : 1),
    );
  }

  protected gaveUp(): void {
    if (!this.isExcused) this.wrong('is kept waiting');
    this.done();
  }

  private drawTls(random: number, helloRecords: number): ActorTls {
    const { kind, order } = this.plan;
    const isOther = kind === 'other-name';
    return {
      engine: {
        ...{ isServer: false, chain: '', random, helloRecords },
        serverName: isOther ? `x${domainOf(order)}` : domainOf(order),
        protocols: kind === 'offers-more' ? [PROTOCOL, 'http/1.1'] : [PROTOCOL],
        judge: (shown) => {
          this.shown = shown;
          return 0;
        },
      },
      onSecure: (end) => {
        this.check(end.engine.protocol);
        // Whoever is let in by the usual certificate has nothing to say.
        if (end.engine.protocol !== PROTOCOL) {
          end.close();
          this.done();
        } else this.awaitEnd();
      },
      onWrong: (text) => this.wrong(text),
    };
  }

  /** The certificate was the whole answer: the connection ends. */
  private awaitEnd(): void {
    this.setting.kernel.after(ENDS_MS, () => {
      if (!this.isDone && !this.isExcused) this.wrong('has its answer, and is kept');
    });
  }

  private check(protocol: string): void {
    const { kind, order } = this.plan;
    const is = this.isOutstanding;
    const isChallenge = this.shown === challengeChain(order);
    if (isChallenge !== (protocol === PROTOCOL)) this.wrong(`agrees on ${protocol || 'nothing'}`);
    if (isChallenge && (kind !== 'asks' || is === false)) {
      this.wrong('is shown a challenge that is not outstanding, or was not asked for');
    }
    if (!isChallenge && kind === 'asks' && is === true) this.wrong('is shown another certificate');
  }

  /** Its handshake has come to nothing, or its connection has been reset afterwards. */
  private failed(): void {
    const isAsked = this.plan.kind === 'asks' && this.isOutstanding === true;
    const isLost = this.shown === '' && isAsked;
    if (isLost && !this.isExcused) this.wrong('gets no answer to its challenge');
    this.done();
  }

  private done(): void {
    this.isDone = true;
  }
}
