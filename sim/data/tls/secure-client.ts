// TLS of one client of a world: what it offers and shows, what it resumes, and what it must be shown.
import type { Chance } from '../../kernel/chance.ts';
import { type Certificate, readCertificate, textOf } from '../../tls/certificate.ts';
import { Alert } from '../../tls/engine-parts.ts';
import { fingerprintOf } from '../../tls/sim-tls-socket.ts';
import type { ActorTls, TlsEnd } from '../../tls/tls-end.ts';
import type { ClientSetting } from '../http-client.ts';
import {
  type Certificates,
  CLIENT_AUTHORITY,
  clientCertificate,
  type ListenRules,
  RECORD_SIZES,
  SECOND_NAME,
  subjectLine,
} from './rules.ts';

/** What an endpoint must be told of a connection; '' for nothing. */
export interface SecureFacts {
  /** As OpenSSL names it. */
  readonly version: string;
  readonly subject: string;
  readonly fingerprint: string;
}

export interface SecureClientPlan {
  readonly name: string;
  readonly host: string;
  readonly service: string;
  readonly isHttp2: boolean;
  readonly speaks: 'http' | 'tcp';
  readonly tls: ListenRules | null;
}

/** A second for those before it that get nowhere, and the ways (docs/limits.md). */
const TURN_MS = 1700;
/** Share of clients, and of endpoints, that know nothing above TLS 1.2. */
export const OLD_SHARE = 0.25;

/** Null where its listener speaks plainly. */
export function secureClient(setting: ClientSetting, plan: SecureClientPlan): SecureClient | null {
  const { certificates } = setting;
  const { tls: rules } = plan;
  if (rules === null || certificates === null) return null;
  return new SecureClient(setting, plan, { certificates, rules });
}

/** Of all connections of one client. */
export class SecureClient {
  private readonly setting: ClientSetting;
  private readonly certificates: Certificates;
  private readonly plan: SecureClientPlan;
  private readonly hasCertificate: boolean;
  private readonly resumes: boolean;
  private readonly isOld: boolean;
  private readonly serverName: string;
  /** What it shows; ''. */
  private readonly chain: string;
  /** What requests on its connections are to be told with. */
  readonly facts: SecureFacts;
  private ticket: Buffer | null = null;

  constructor(
    setting: ClientSetting,
    plan: SecureClientPlan,
    { certificates, rules }: { certificates: Certificates; rules: ListenRules },
  ) {
    this.setting = setting;
    this.certificates = certificates;
    this.plan = plan;
    const { clientAuth, hasSecond } = rules;
    const chance = setting.kernel.chance(`tls of ${plan.name}`);
    const isAsked = clientAuth !== 'off';
    this.hasCertificate = isAsked && (clientAuth === 'require' || chance.happens(0.7));
    this.resumes = chance.happens(0.6);
    const names = hasSecond ? ['', plan.host, SECOND_NAME] : ['', plan.host];
    this.serverName = chance.pick(names);
    const certificate = clientCertificate(plan.name, CLIENT_AUTHORITY);
    this.chain = this.hasCertificate ? textOf(certificate) : '';
    this.isOld = setting.kernel.chance(`tls version of ${plan.name}`).happens(OLD_SHARE);
    const version = this.isOld ? 'TLSv1.2' : 'TLSv1.3';
    const shown = this.hasCertificate ? factsOf(plan.name, certificate) : NOBODY;
    this.facts = { version, ...shown };
  }

  /** Of its next connection. */
  connection(chance: Chance): ActorTls {
    const { chain, serverName, isOld } = this;
    const { kernel } = this.setting;
    let helloMs = 0;
    return {
      engine: {
        ...{ isServer: false, chain, serverName, isOld },
        random: chance.int(0, 2 ** 32 - 1),
        protocols: this.offers(chance),
        ticket: this.resumes ? this.ticket : null,
        isLarge: chance.happens(0.3),
        helloRecords: chance.happens(0.2) ? chance.int(2, 5) : 1,
        recordBytes: chance.pick(RECORD_SIZES),
        judge: (shown) => this.judge(shown),
      },
      onHello: () => {
        helloMs = kernel.nowMs;
      },
      onSecure: (end) => {
        this.check(end);
        this.checkTime(kernel.nowMs - helloMs);
      },
      onTicket: (ticket) => {
        this.ticket = ticket;
      },
      onWrong: (text) => this.wrong(text),
    };
  }

  private offers(chance: Chance): readonly string[] {
    const { isHttp2, speaks } = this.plan;
    if (isHttp2) return chance.happens(0.5) ? ['h2'] : ['h2', 'http/1.1'];
    if (speaks === 'tcp') return [];
    return chance.happens(0.5) ? ['http/1.1'] : [];
  }

  private judge(shown: string): number {
    const certificate = readCertificate(shown);
    const { nowMs } = this.setting.kernel;
    const problem =
      certificate === null
        ? 'no certificate'
        : this.certificates.wrong(certificate, this.serverName, nowMs);
    if (problem === '') return 0;
    this.wrong(`is shown ${problem}`);
    return Alert.badCertificate;
  }

  private check({ engine }: TlsEnd): void {
    const { isHttp2 } = this.plan;
    const { protocol, isResumed, version } = engine;
    if (version !== this.facts.version) this.wrong(`agrees on ${version}`);
    if (isHttp2 !== (protocol === 'h2')) this.wrong(`agrees on ${protocol || 'nothing'} by ALPN`);
    if (isResumed && !this.resumes) this.wrong('resumes a session that it does not know');
  }

  /** Whoever waits for others that get nowhere has their place soon. */
  private checkTime(tookMs: number): void {
    if (tookMs > TURN_MS && !this.setting.isNarrow)
      this.wrong(`has its handshake after ${Math.round(tookMs)} ms`);
  }

  /** The handshake has come to nothing. */
  failed(code: string): void {
    const { isNarrow, mayCut, mayRefuse } = this.setting;
    const { service } = this.plan;
    if (isNarrow || mayCut(service) || mayRefuse(service)) return;
    this.wrong(`can't connect: ${code}`);
  }

  /** The product has left a connection on which nothing was open, without close_notify. */
  truncated(): void {
    if (!this.setting.mayCut(this.plan.service)) this.wrong('an end without close_notify');
  }

  private wrong(text: string): void {
    const { name, service } = this.plan;
    this.setting.book.fault(`client ${name}, ${text}`, service);
  }
}

const NOBODY = { subject: '', fingerprint: '' };

function factsOf(name: string, certificate: Certificate): Omit<SecureFacts, 'version'> {
  const fingerprint = fingerprintOf(certificate).replaceAll(':', '').toLowerCase();
  return { subject: subjectLine(name), fingerprint };
}
