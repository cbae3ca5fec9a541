// One conversation with a certificate authority: an account, an order, its challenges, a certificate.
// What is said is acme-client's (JWS, nonces, requests for certificates); when it is said, and what
// comes of it, is attempt.ts'.
import { Client, crypto } from 'acme-client';
import type { Clock } from '../../base/clock.ts';
import { CodedError, messageOf } from '../../base/coded-error.ts';
import { readRegularFile } from '../../base/regular-file.ts';
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

/** What an authorization offers, for one name. */
export interface Offer {
  readonly domain: string;
  readonly isValid: boolean;
  /** Why the CA is not convinced; '' while it has not looked. */
  readonly problem: string;
  readonly types: readonly ChallengeType[];
  readonly authorization: Authorization;
}

export class Ca {
  private readonly acme: AcmeSettings;
  private readonly transport: Transport;
  private readonly client: Client;

  /** `signal` gives everything up. Throws where the file with the binding's key can't be read. */
  constructor(
    acme: AcmeSettings,
    account: Account,
    { clock, signal }: { clock: Clock; signal: AbortSignal },
  ) {
    this.acme = acme;
    this.transport = new Transport(acme, clock, signal);
    this.client = new Client({
      directoryUrl: acme.directory,
      accountKey: account.key,
      ...(account.url === '' ? {} : { accountUrl: account.url }),
      ...bindingOf(acme),
    });
  }

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

  order(): Promise<Order> {
    const identifiers = this.acme.domains.map((value) => ({ type: 'dns', value }));
    return this.ask('the order', () => this.client.createOrder({ identifiers }));
  }

  look(url: string): Promise<Order> {
    // Of an order the library reads its URL alone.
    return this.ask('the order', () => this.client.getOrder({ url } as Order));
  }

  /** What the CA wants to be shown, for each name. */
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

  /** What listeners have to answer, for this challenge of an offer. */
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

  /** The chain (PEM) of an order that is valid. */
  certificate(order: Order): Promise<string> {
    return this.ask('the certificate', () => this.client.getCertificate(order));
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

function offerOf(authorization: Authorization): Offer {
  const { identifier, status, challenges } = authorization;
  // A list by RFC 8555; what a CA sends is looked at.
  const all = Array.isArray(challenges) ? challenges : [];
  const types = all.map(({ type }) => type as string).filter(isKnownType);
  const failed = all.find(({ error }) => error !== undefined);
  const isOver = status !== 'pending' && status !== 'valid';
  const said = failed === undefined ? `the authorization is ${status}` : textOf(failed);
  return {
    domain: String(identifier?.value).toLowerCase(),
    isValid: status === 'valid',
    problem: isOver ? said : '',
    types,
    authorization,
  };
}

function textOf({ type, error }: { type: string; error?: object }): string {
  return `${type}: the CA said ${readProblem(error).text || 'no more'}`;
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

function bindingOf({ binding }: AcmeSettings) {
  if (binding === null) return {};
  try {
    const hmacKey = readRegularFile(binding.keyFile, BOUNDS.acmeFile.max).toString().trim();
    return { externalAccountBinding: { kid: binding.keyId, hmacKey } };
  } catch (error) {
    throw new CodedError('acme-binding', `acme.eab.key_file: ${messageOf(error)}`);
  }
}
