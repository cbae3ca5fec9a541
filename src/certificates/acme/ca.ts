// One conversation with a certificate authority: an account, an order, its challenges, a certificate.
// What is said is acme-client's (JWS, nonces, requests for certificates); when it is said, and what
// comes of it, is attempt.ts'.
import { Client, crypto } from 'acme-client';
import type { Clock } from '../../base/clock.ts';
import { CodedError, messageOf } from '../../base/coded-error.ts';
import { readInTime } from '../../base/timely-file.ts';
import {
  type AcmeSettings,
  type Challenge,
  type ChallengeType,
  TOKEN_PATTERN,
} from '../../model/acme.ts';
import { BOUNDS } from '../../model/bounds.ts';
import type { Account } from './folder.ts';
import { AcmeError, readProblem } from './problem.ts';
import { Transport } from './transport.ts';

type Order = Awaited<ReturnType<Client['createOrder']>>;
type Authorization = Awaited<ReturnType<Client['getAuthorizations']>>[number];

/** Of a domain (RFC 1035 section 2.3.4). */
const NAME_MAX = 253;

/** What an authorization offers, for one name. */
export interface Offer {
  readonly domain: string;
  readonly isValid: boolean;
  /** Why the CA is not convinced; '' while it has not looked. */
  readonly problem: string;
  readonly types: readonly ChallengeType[];
  readonly authorization: Authorization;
}

type Binding = Awaited<ReturnType<typeof bindingOf>>;

export class Ca {
  private readonly acme: AcmeSettings;
  private readonly transport: Transport;
  private readonly client: Client;

  /** `signal` gives everything up. `binding`: what bindingOf resolved with. */
  constructor(
    acme: AcmeSettings,
    account: Account,
    { clock, signal, binding }: { clock: Clock; signal: AbortSignal; binding: Binding },
  ) {
    this.acme = acme;
    this.transport = new Transport(acme, clock, signal);
    this.client = new Client({
      directoryUrl: acme.directory,
      accountKey: account.key,
      ...(account.url === '' ? {} : { accountUrl: account.url }),
      ...binding,
    });
  }

  /** A new key of an account: PEM. */
  static async newKey(): Promise<string> {
    return (await crypto.createPrivateEcdsaKey()).toString();
  }

  close(): Promise<void> {
    return this.transport.close();
  }

  /** What the latest answer asked for by Retry-After, ms. */
  get retryAfterMs(): number {
    return this.transport.retryAfterMs;
  }

  /** Makes the account, or finds the one of this key. Returns its URL and the terms agreed to. */
  async register(): Promise<Pick<Account, 'url' | 'terms'>> {
    const { email, terms: agreed } = this.acme;
    return this.ask('the account', async () => {
      const said: unknown = await this.client.getTermsOfServiceUrl();
      const terms = typeof said === 'string' ? said : '';
      if (terms.length > BOUNDS.acmeUrl.max) {
        const most = `more than ${BOUNDS.acmeUrl.max} characters`;
        throw new AcmeError(`the URL of the CA's terms of service has ${most}`);
      }
      if (agreed !== '' && terms !== '' && terms !== agreed) {
        throw new AcmeError(
          `the CA's terms of service are ${terms.slice(0, 500)}, and acme.terms agrees to ${agreed}`,
        );
      }
      await this.client.createAccount({
        termsOfServiceAgreed: true,
        ...(email === '' ? {} : { contact: [`mailto:${email}`] }),
      });
      return { url: this.client.getAccountUrl(), terms };
    });
  }

  /** Orders a certificate for all names of the settings (RFC 8555 section 7.4). Rejects with AcmeError. */
  order(): Promise<Order> {
    const identifiers = this.acme.domains.map((value) => ({ type: 'dns', value }));
    return this.ask('the order', () => this.client.createOrder({ identifiers }));
  }

  /** The order at this URL, as it is now. Rejects with AcmeError. */
  look(url: string): Promise<Order> {
    // Of an order the library reads its URL alone.
    return this.ask('the order', () => this.client.getOrder({ url } as Order));
  }

  /** What the CA wants to be shown, for each name. Rejects with AcmeError. */
  async offers(order: Order): Promise<Offer[]> {
    // One for each name; the library asks for all of them at once.
    const wanted: unknown = order.authorizations;
    const { length } = this.acme.domains;
    if (!Array.isArray(wanted) || wanted.length > length) {
      const many = Array.isArray(wanted) ? wanted.length : 'no list of';
      throw new AcmeError(`the CA names ${many} authorizations for ${length} names`);
    }
    const found = await this.ask('the authorizations', () => this.client.getAuthorizations(order));
    return found.map(offerOf);
  }

  /** What listeners have to answer, for this challenge of an offer. Rejects with AcmeError. */
  async prepare({ authorization, domain }: Offer, type: ChallengeType): Promise<Challenge> {
    const asked = challengeOf(authorization, type);
    const { token } = asked;
    if (!TOKEN_PATTERN.test(token)) {
      throw new AcmeError(`${domain}: ${type}: the CA's token is none: expected base64url`);
    }
    const answer = await this.client.getChallengeKeyAuthorization(asked);
    if (type === 'http-01') return { type, domain, token, answer };
    // With the key usage that the library gives it, OpenSSL takes an EC key for TLS 1.3 alone.
    const rsaKey = await crypto.createPrivateRsaKey();
    const [key, chain] = await crypto.createAlpnCertificate(authorization, answer, rsaKey);
    return { type, domain, chain: chain.toString(), privateKey: key.toString() };
  }

  /** The listeners answer: the CA may look. */
  async complete({ authorization, domain }: Offer, type: ChallengeType): Promise<void> {
    const asked = challengeOf(authorization, type);
    await this.ask(`${domain}: ${type}`, () => this.client.completeChallenge(asked));
  }

  /** Asks for the certificate of a key (PEM). */
  async finalize(order: Order, key: string): Promise<Order> {
    const [, request] = await crypto.createCsr({ altNames: [...this.acme.domains] }, key);
    return this.ask('the certificate', () => this.client.finalizeOrder(order, request));
  }

  /** The chain (PEM) of an order that is valid. Rejects with AcmeError. */
  async certificate(order: Order): Promise<string> {
    const chain: unknown = await this.ask('the certificate', () =>
      this.client.getCertificate(order),
    );
    if (typeof chain !== 'string') throw new AcmeError('the certificate: the CA has sent JSON');
    return chain;
  }

  /** Every failure names what was asked; what the library throws itself is about the CA's answers. */
  private async ask<T>(what: string, calls: () => Promise<T>): Promise<T> {
    try {
      return await this.transport.run(calls);
    } catch (error) {
      if (!(error instanceof AcmeError)) throw new AcmeError(`${what}: ${messageOf(error)}`);
      throw new AcmeError(`${what}: ${error.message}`, error);
    }
  }
}

/** Why an order will never be valid; '' where it may be. */
export function orderProblem({ status, error }: Order): string {
  if (status !== 'invalid') return '';
  const { text } = readProblem(error);
  return `the CA has refused the order${text === '' ? '' : `: ${text}`}`;
}

/** What RFC 8555 says of its shape is the library's word; what a CA sends is looked at. */
function offerOf(sent: Authorization): Offer {
  const name: unknown = sent.identifier?.value;
  if (typeof name !== 'string') throw new AcmeError('an authorization of the CA names no domain');
  const list: unknown = sent.challenges;
  const challenges = Array.isArray(list) ? list.filter(isChallenge) : [];
  const status: string = sent.status;
  const failed = challenges.find(({ error }) => error !== undefined);
  const isOver = status !== 'pending' && status !== 'valid';
  const said =
    failed === undefined ? `the authorization is ${String(status).slice(0, 50)}` : textOf(failed);
  return {
    domain: name.slice(0, NAME_MAX).toLowerCase(),
    isValid: status === 'valid',
    problem: isOver ? said : '',
    types: challenges.map(({ type }) => type as string).filter(isKnownType),
    authorization: { ...sent, challenges },
  };
}

/** What is none is passed over: the others may do. */
function isChallenge(value: unknown): value is Authorization['challenges'][number] {
  const { type, url, token } = (value ?? {}) as Record<string, unknown>;
  return [type, url, token].every((text) => typeof text === 'string');
}

function textOf({ type, error }: { type: string; error?: object }): string {
  return `${type.slice(0, 50)}: the CA said ${readProblem(error).text || 'no more'}`;
}

function isKnownType(type: string): type is ChallengeType {
  return type === 'http-01' || type === 'tls-alpn-01';
}

function challengeOf({ challenges, identifier }: Authorization, type: ChallengeType) {
  // The library's types know DNS-01 and HTTP-01 alone; it answers this one as well.
  const found = challenges.find((one) => (one.type as string) === type);
  if (found === undefined) throw new AcmeError(`${identifier.value}: the CA offers no ${type}`);
  return found;
}

/** What the library takes of an account elsewhere (EAB). Rejects where the file with its key can't be read. */
export async function bindingOf({ binding }: AcmeSettings) {
  if (binding === null) return {};
  try {
    const bytes = await readInTime(binding.keyFile, BOUNDS.acmeFile.max);
    const hmacKey = bytes.toString().trim();
    return { externalAccountBinding: { kid: binding.keyId, hmacKey } };
  } catch (error) {
    throw new CodedError('acme-binding', `acme.eab.key_file: ${messageOf(error)}`);
  }
}
