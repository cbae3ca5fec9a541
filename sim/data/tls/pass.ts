// TLS that is passed on: listeners that look for a name in the ClientHello alone, clients that ask for one,
// and whose certificate these must see. What they say is between them and their endpoint.
import type { SniRoute } from '../../../src/model/sni-route.ts';
import { sniRoutesInOrder } from '../../../src/model/sni-route.ts';
import { Chance } from '../../kernel/chance.ts';
import { readCertificate } from '../../tls/certificate.ts';
import { Alert } from '../../tls/engine-parts.ts';
import type { ActorTls } from '../../tls/tls-end.ts';
import type { ClientSetting } from '../http-client.ts';
import type { Weights } from '../weights.ts';
import { OLD_SHARE } from './secure-client.ts';
import type { UpstreamRules } from './upstream-rules.ts';

export interface PassRules {
  /** Any name, and none, leads to the service. */
  readonly hasDefault: boolean;
}

/** Null: the service does something else with TLS. */
export function drawPassRules(
  seed: number,
  service: string,
  { passes }: Weights,
): PassRules | null {
  const chance = new Chance(seed, `passes of ${service}`);
  return chance.happens(passes) ? { hasDefault: chance.happens(0.5) } : null;
}

/** Of the endpoints of a service whose TLS is passed on. */
export const PASSED_RULES: UpstreamRules = {
  verify: true,
  isOneName: true,
  needsOwn: false,
  isAuto: false,
};

export const passedName = (service: string): string => `cert.${service}.pass`;

/** The routes of its listener: to itself, and among them such as lead elsewhere. */
export function passRoutes(
  service: string,
  { hasDefault }: PassRules,
  others: readonly string[],
): SniRoute[] {
  const own = (sni: string): SniRoute => ({ sni, alpn: [], service });
  return sniRoutesInOrder([
    ...others.flatMap((other) => [
      { sni: `${other}.pass`, alpn: [], service: other },
      { sni: '*.pass', alpn: [], service: other },
      { sni: `${service}.pass`, alpn: ['other'], service: other },
    ]),
    { sni: `${service}.pass`, alpn: ['other'], service: 'nobody' },
    own(`*.${service}.pass`),
    own(`${service}.pass`),
    ...(hasDefault ? [own('*')] : []),
  ]);
}

/** TLS of one client whose listener passes it on. */
export class PassedClient {
  readonly facts = null;
  private readonly setting: ClientSetting;
  private readonly plan: { readonly name: string; readonly service: string };
  private readonly serverName: string;
  private readonly isOld: boolean;

  constructor(
    setting: ClientSetting,
    plan: { readonly name: string; readonly service: string },
    { hasDefault }: PassRules,
  ) {
    this.setting = setting;
    this.plan = plan;
    const { name, service } = plan;
    const names = [`${service}.pass`, `a.${service}.pass`, `b.a.${service}.pass`];
    const any = hasDefault ? ['', 'elsewhere.sim'] : [];
    this.isOld = setting.kernel.chance(`tls version of ${name}`).happens(OLD_SHARE);
    this.serverName = setting.kernel.chance(`passed ${name}`).pick([...names, ...any]);
  }

  connection(chance: Chance): ActorTls {
    return {
      engine: {
        ...{ isServer: false, chain: '', serverName: this.serverName, isOld: this.isOld },
        random: chance.int(0, 2 ** 32 - 1),
        protocols: chance.happens(0.5) ? ['mine'] : [],
        isLarge: chance.happens(0.4),
        helloRecords: chance.happens(0.6) ? chance.int(2, 8) : 1,
        judge: (shown) => this.judge(shown),
      },
      onWrong: (text) => this.wrong(text),
    };
  }

  private judge(shown: string): number {
    const [name = ''] = readCertificate(shown)?.names ?? [];
    if (name === passedName(this.plan.service)) return 0;
    this.wrong(`asks for ${this.serverName || 'no name'} and gets to ${name}`);
    return Alert.badCertificate;
  }

  /** What becomes of the session is judged. */
  failed(): void {}

  private wrong(text: string): void {
    const { name, service } = this.plan;
    this.setting.book.fault(`client ${name}, ${text}`, service);
  }
}
