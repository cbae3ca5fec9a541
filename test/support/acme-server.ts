// A small certificate authority that speaks ACME (RFC 8555), for tests: it checks every request as a CA
// has to, performs the challenges, and issues. What goes wrong is up to the test.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { checkBinding, type Jwk, Refusal, readJws, type Signed, thumbprintOf } from './acme-jws.ts';
import { validateHttp, validateTls } from './acme-validation.ts';
import { Authority, type Issued } from './certificates.ts';
import { freePorts } from './ports.ts';

type ChallengeType = 'http-01' | 'tls-alpn-01';

interface Challenge {
  readonly type: ChallengeType;
  readonly token: string;
  status: 'pending' | 'processing' | 'valid' | 'invalid';
  error: object | null;
}

interface Authorization {
  readonly domain: string;
  status: 'pending' | 'valid' | 'invalid';
  readonly challenges: Challenge[];
}

interface Order {
  readonly account: string;
  readonly authorizations: number[];
  readonly domains: readonly string[];
  status: 'pending' | 'ready' | 'processing' | 'valid' | 'invalid';
  /** How often it is looked at until what is under way is done. */
  looks: number;
  chain: string;
}

/** What the CA does to its clients; a test changes it as it goes. */
export interface Behaviour {
  /** So many of the next requests that are signed get badNonce. */
  badNonces: number;
  /** What the next requests for a resource get, in the place of an answer. */
  refusals: { resource: string; refusal: Refusal }[];
  /** An order that is finalized is `processing` for so many looks. */
  looks: number;
  /** Challenges are looked at by nobody, and stay as they are. */
  isUndecided: boolean;
  offered: readonly ChallengeType[];
  /** When certificates begin to be valid and end to be, from now. */
  fromMs: number;
  lifeMs: number;
  terms: string;
  /** Where the directory says that orders are made; '' for the right place. */
  newOrder: string;
  /** So many authorizations an order has; 0 for those that it has. */
  authorizations: number;
  binding: { readonly keyId: string; readonly key: string } | null;
  /** Where names are looked for. */
  ports: { http: number; tls: number };
  tlsVersion: 'TLSv1.2' | 'TLSv1.3';
  /** Sent after a certificate: an answer that has no end of use. */
  padding: number;
}

export interface Looked {
  readonly type: ChallengeType;
  readonly domain: string;
  /** '' where it was convinced. */
  readonly problem: string;
}

export class AcmeServer {
  readonly authority = new Authority('test ACME CA');
  readonly behaviour: Behaviour = {
    ...{ badNonces: 0, refusals: [], looks: 0, isUndecided: false, padding: 0 },
    ...{
      offered: ['http-01', 'tls-alpn-01'],
      lifeMs: 86_400_000,
      fromMs: -2000,
      terms: '',
      newOrder: '',
      authorizations: 0,
      binding: null,
    },
    ...{ ports: { http: 80, tls: 443 }, tlsVersion: 'TLSv1.3' },
  };
  /** Names of the resources that were asked for, in order. */
  readonly asked: string[] = [];
  readonly looked: Looked[] = [];
  /** Domains of every certificate that was issued. */
  readonly issued: (readonly string[])[] = [];
  readonly contacts: unknown[] = [];
  readonly server: ReturnType<typeof createServer>;
  private base = '';
  private readonly nonces = new Set<string>();
  private readonly accounts = new Map<string, Jwk>();
  private readonly orders: Order[] = [];
  private readonly authorizations: Authorization[] = [];
  private readonly challenges: { challenge: Challenge; authorization: Authorization }[] = [];
  private readonly listeners = new Set<() => void>();

  private constructor(tls: Issued | null) {
    const handle = (request: IncomingMessage, response: ServerResponse) =>
      void this.serve(request, response);
    this.server = tls === null ? createServer(handle) : createSecureServer(tls, handle);
  }

  /** `tls`: its own certificate; null: it speaks plain HTTP. */
  static async start(tls: Issued | null = null): Promise<AcmeServer> {
    const server = new AcmeServer(tls);
    const [port = 0] = await freePorts(1);
    server.server.listen(port, '127.0.0.1');
    await once(server.server, 'listening');
    server.base = `${tls === null ? 'http' : 'https'}://127.0.0.1:${port}`;
    return server;
  }

  get directory(): string {
    return `${this.base}/directory`;
  }

  get port(): number {
    return Number(new URL(this.base).port);
  }

  get accountCount(): number {
    return this.accounts.size;
  }

  /** How often a resource was asked for. */
  countOf(resource: string): number {
    return this.asked.filter((one) => one === resource).length;
  }

  /** Resolves when something asked makes `test` true. */
  async until(test: () => boolean): Promise<void> {
    while (!test()) {
      await new Promise<void>((resolve) => {
        this.listeners.add(resolve);
      });
      this.listeners.clear();
    }
  }

  /** It forgets every account, as a CA for trying out does now and then. */
  forgetAccounts(): void {
    this.accounts.clear();
  }

  /** Whatever is under way is done. */
  finish(): void {
    for (const order of this.orders) order.looks = 0;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    this.authority.remove();
  }

  /** Answers no more, until `reopen`. */
  async hide(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async reopen(): Promise<void> {
    this.server.listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
  }

  // Requests

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, resource = '', id = '', action = ''] = (request.url ?? '').split('/');
    const name = action === '' ? resource : `${resource}/${action}`;
    this.asked.push(name);
    try {
      let text = '';
      for await (const piece of request) text += piece;
      const hit = this.behaviour.refusals.findIndex((one) => one.resource === name);
      if (hit >= 0) throw this.behaviour.refusals.splice(hit, 1)[0]!.refusal;
      if (resource === 'directory') return this.answer(response, 200, this.directoryBody());
      if (resource === 'new-nonce') return this.answer(response, 200, null);
      const type = request.headers['content-type'] ?? '';
      this.serveSigned(response, { name, id: Number(id), url: request.url! }, readJws(text, type));
    } catch (error) {
      this.refuse(response, error);
    } finally {
      for (const tell of [...this.listeners]) tell();
    }
  }

  private directoryBody(): object {
    const { terms, binding, newOrder } = this.behaviour;
    return {
      newNonce: `${this.base}/new-nonce`,
      newAccount: `${this.base}/new-account`,
      newOrder: newOrder || `${this.base}/new-order`,
      meta: {
        ...(terms === '' ? {} : { termsOfService: terms }),
        externalAccountRequired: binding !== null,
      },
    };
  }

  private serveSigned(
    response: ServerResponse,
    { name, id, url }: { name: string; id: number; url: string },
    signed: Signed,
  ): void {
    if (this.behaviour.badNonces > 0) {
      this.behaviour.badNonces -= 1;
      throw new Refusal('badNonce', 'try the new one');
    }
    if (!this.nonces.delete(signed.nonce)) throw new Refusal('badNonce', 'never heard of it');
    if (signed.url !== `${this.base}${url}`) {
      throw new Refusal('unauthorized', 'it was signed for another URL', 401);
    }
    if (name === 'new-account') return this.newAccount(response, signed);
    const key = this.accounts.get(signed.kid ?? '');
    if (key === undefined) throw new Refusal('accountDoesNotExist', 'no such account');
    signed.check(key);
    if (name === 'new-order') return this.newOrder(response, signed);
    if (name === 'account') return this.answer(response, 200, { status: 'valid' });
    if (name === 'authz') return this.answer(response, 200, this.authorizationBody(id));
    if (name === 'challenge') return this.startChallenge(response, { id, key, signed });
    const order = this.orders[id];
    if (order === undefined || order.account !== signed.kid) {
      throw new Refusal('unauthorized', 'no such order of yours', 403);
    }
    if (name === 'order/finalize') return this.finalize(response, order, signed);
    if (name === 'cert') {
      return this.answer(response, 200, order.chain + 'x'.repeat(this.behaviour.padding));
    }
    order.looks -= 1;
    if (order.status === 'processing' && order.looks <= 0) order.status = 'valid';
    return this.answer(response, 200, this.orderBody(order));
  }

  private newAccount(response: ServerResponse, { jwk, payload, check }: Signed): void {
    if (jwk === null) throw new Refusal('malformed', 'expected jwk');
    check(jwk);
    const url = `${this.base}/account/${thumbprintOf(jwk)}`;
    const location = { location: url };
    if (this.accounts.has(url)) return this.answer(response, 200, { status: 'valid' }, location);
    const { terms, binding } = this.behaviour;
    if (terms !== '' && payload?.termsOfServiceAgreed !== true) {
      throw new Refusal('userActionRequired', 'the terms of service are not agreed to', 403);
    }
    if (binding !== null) {
      const expected = { ...binding, jwk, url: `${this.base}/new-account` };
      checkBinding(payload?.externalAccountBinding, expected);
    }
    this.contacts.push(payload?.contact);
    this.accounts.set(url, jwk);
    this.answer(response, 201, { status: 'valid' }, location);
  }

  private newOrder(response: ServerResponse, { payload, kid }: Signed): void {
    const identifiers = payload!.identifiers as { type: string; value: string }[];
    const domains = identifiers.map(({ value }) => value);
    const authorizations = domains.map((domain) => this.authorize(domain));
    this.orders.push({
      ...{ account: kid!, domains, authorizations, status: 'pending', looks: 0, chain: '' },
    });
    const id = this.orders.length - 1;
    const location = { location: `${this.base}/order/${id}` };
    this.answer(response, 201, this.orderBody(this.orders[id]!), location);
  }

  private authorize(domain: string): number {
    const challenges = this.behaviour.offered.map(
      (type): Challenge => ({
        ...{ type, token: randomBytes(24).toString('base64url'), status: 'pending', error: null },
      }),
    );
    const authorization: Authorization = { domain, status: 'pending', challenges };
    for (const challenge of challenges) this.challenges.push({ challenge, authorization });
    return this.authorizations.push(authorization) - 1;
  }

  private orderBody(order: Order): object {
    const id = this.orders.indexOf(order);
    const all = order.authorizations.map((one) => this.authorizations[one]!.status);
    if (order.status === 'pending' && all.includes('invalid')) order.status = 'invalid';
    if (order.status === 'pending' && all.every((one) => one === 'valid')) order.status = 'ready';
    return {
      status: order.status,
      identifiers: order.domains.map((value) => ({ type: 'dns', value })),
      authorizations: Array.from(
        { length: this.behaviour.authorizations || order.authorizations.length },
        (_, i) => `${this.base}/authz/${order.authorizations[i] ?? i}`,
      ),
      finalize: `${this.base}/order/${id}/finalize`,
      ...(order.status === 'valid' ? { certificate: `${this.base}/cert/${id}` } : {}),
    };
  }

  private authorizationBody(id: number): object {
    const { domain, status, challenges } = this.authorizations[id]!;
    return {
      ...{ identifier: { type: 'dns', value: domain }, status },
      challenges: challenges.map((challenge) => this.challengeBody(challenge)),
    };
  }

  private challengeBody(challenge: Challenge): object {
    const id = this.challenges.findIndex((one) => one.challenge === challenge);
    const { type, token, status, error } = challenge;
    const url = `${this.base}/challenge/${id}`;
    return { type, token, status, url, ...(error === null ? {} : { error }) };
  }

  private startChallenge(
    response: ServerResponse,
    { id, key, signed }: { id: number; key: Jwk; signed: Signed },
  ): void {
    const { challenge, authorization } = this.challenges[id]!;
    if (signed.payload !== null && challenge.status === 'pending') {
      challenge.status = 'processing';
      const expected = `${challenge.token}.${thumbprintOf(key)}`;
      if (!this.behaviour.isUndecided) void this.look(challenge, authorization, expected);
    }
    this.answer(response, 200, this.challengeBody(challenge));
  }

  private async look(
    challenge: Challenge,
    authorization: Authorization,
    expected: string,
  ): Promise<void> {
    const { ports, tlsVersion } = this.behaviour;
    const { type, token } = challenge;
    const { domain } = authorization;
    const asked = { domain, token, expected };
    const problem =
      type === 'http-01'
        ? await validateHttp({ ...asked, port: ports.http })
        : await validateTls({ ...asked, port: ports.tls }, tlsVersion);
    this.looked.push({ type, domain, problem });
    challenge.status = problem === '' ? 'valid' : 'invalid';
    authorization.status = challenge.status;
    if (problem !== '') challenge.error = problemBody('unauthorized', problem);
    for (const tell of [...this.listeners]) tell();
  }

  private finalize(response: ServerResponse, order: Order, { payload }: Signed): void {
    this.orderBody(order);
    if (order.status !== 'ready') throw new Refusal('orderNotReady', 'it is not ready', 403);
    const request = Buffer.from(payload!.csr as string, 'base64url').toString('base64');
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${request.match(/.{1,64}/g)!.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
    const { fromMs, lifeMs, looks } = this.behaviour;
    const nowMs = Date.now();
    const own = this.authority.sign(pem, nowMs + fromMs, nowMs + lifeMs);
    order.chain = own + this.authority.ca;
    this.issued.push(order.domains);
    order.status = looks > 0 ? 'processing' : 'valid';
    order.looks = looks;
    this.answer(response, 200, this.orderBody(order));
  }

  // Answers

  private answer(
    response: ServerResponse,
    status: number,
    body: object | string | null,
    headers: Record<string, string> = {},
  ): void {
    const text = typeof body === 'string' ? body : JSON.stringify(body ?? '');
    const type =
      typeof body === 'string' ? 'application/pem-certificate-chain' : 'application/json';
    response.writeHead(status, { 'replay-nonce': this.nonce(), 'content-type': type, ...headers });
    response.end(body === null ? '' : text);
  }

  private refuse(response: ServerResponse, error: unknown): void {
    const refusal =
      error instanceof Refusal ? error : new Refusal('serverInternal', String(error), 500);
    const { type, message, status, headers } = refusal;
    const own = { 'replay-nonce': this.nonce(), 'content-type': 'application/problem+json' };
    response.writeHead(status, { ...own, ...headers });
    response.end(JSON.stringify(problemBody(type, message)));
  }

  private nonce(): string {
    const nonce = createHash('sha256').update(randomBytes(16)).digest('base64url');
    this.nonces.add(nonce);
    return nonce;
  }
}

function problemBody(type: string, detail: string): object {
  return { type: `urn:ietf:params:acme:error:${type}`, detail };
}
