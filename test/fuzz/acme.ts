// What a certificate authority says, answer by answer, in a conversation over HTTP: a line each for the directory,
// the account, the order, the authorization, the order as it is at the end, and the certificate.
import { ok } from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../../src/base/clock.ts';
import { Ca, type Offer, orderProblem } from '../../src/certificates/acme/ca.ts';
import { AcmeError } from '../../src/certificates/acme/problem.ts';
import { type AcmeSettings, TOKEN_PATTERN } from '../../src/model/acme.ts';
import type { FuzzTarget } from './target.ts';

/** Stands for the authority's own URL, which is known when it listens. */
const CA = '{CA}';
const DOMAIN = 'a.example.com';
const MESSAGE_MAX = 1100;
const CALL_MS = 2000;

const directory = {
  ...{ newNonce: `${CA}/nonce`, newAccount: `${CA}/account`, newOrder: `${CA}/order` },
  ...{ revokeCert: `${CA}/revoke`, keyChange: `${CA}/change` },
  meta: { termsOfService: `${CA}/terms`, website: `${CA}/`, caaIdentities: ['example.com'] },
};
const account = { status: 'valid', contact: ['mailto:a@example.com'], orders: `${CA}/orders` };
const order = {
  ...{ status: 'pending', expires: '2030-01-01T00:00:00Z' },
  identifiers: [{ type: 'dns', value: DOMAIN }],
  authorizations: [`${CA}/authorization`],
  finalize: `${CA}/finalize`,
};
const challenge = {
  type: 'http-01',
  url: `${CA}/challenge`,
  status: 'pending',
  token: 'a'.repeat(43),
};
const authorization = {
  ...{ status: 'pending', expires: '2030-01-01T00:00:00Z' },
  identifier: { type: 'dns', value: DOMAIN },
  challenges: [challenge, { ...challenge, type: 'tls-alpn-01' }, { ...challenge, type: 'dns-01' }],
};
const problem = {
  type: 'urn:ietf:params:acme:error:unauthorized',
  detail: 'no such name',
  subproblems: [{ identifier: { type: 'dns', value: DOMAIN }, detail: 'gone' }],
};
const ended = { ...order, status: 'valid', certificate: `${CA}/certificate` };
const PEM = '-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n';

function conversation(parts: readonly unknown[]): string {
  return parts.map((part) => JSON.stringify(part)).join('\n');
}

const SEEDS = [
  conversation([directory, account, order, authorization, ended, PEM]),
  conversation([directory, account, order, { ...authorization, status: 'valid' }, ended, PEM]),
  conversation([
    ...[directory, account, order],
    { ...authorization, status: 'invalid', challenges: [{ ...challenge, error: problem }] },
    { ...order, status: 'invalid', error: problem },
    '',
  ]),
  conversation([problem, problem, problem, problem, problem, problem]),
  ...[null, [null], [[]], [{}], [1], [{ ...challenge, token: null, type: 'http-01' }]].map(
    (challenges) =>
      conversation([directory, account, order, { ...authorization, challenges }, ended, PEM]),
  ),
  ...[null, [], [null], 'x', { status: null }, { identifier: null, challenges: [challenge] }].map(
    (one) => conversation([directory, account, order, one, ended, PEM]),
  ),
  ...[null, [], 'x', 7, {}, { ...ended, status: null }, { ...ended, certificate: 7 }].map((one) =>
    conversation([directory, account, order, authorization, one, PEM]),
  ),
  ...[null, 'x', { ...order, authorizations: [null] }, { ...order, authorizations: [7] }].map(
    (one) => conversation([directory, account, one, authorization, ended, PEM]),
  ),
  ...[
    null,
    'x',
    [],
    { newOrder: 7 },
    { ...directory, meta: null },
    { ...directory, newNonce: null },
  ].map((one) => conversation([one, account, order, authorization, ended, PEM])),
];

/** Serves the lines of one input. */
class ScriptedCa {
  lines: readonly string[] = [];
  origin = '';
  private readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => {
      request.resume();
      const { body, status } = this.answerTo(request);
      response.writeHead(status, {
        ...{ 'content-type': 'application/json', 'replay-nonce': 'n', connection: 'close' },
        location: `${this.origin}${request.url === '/order' ? '/order/1' : '/account/1'}`,
      });
      response.end(body.replaceAll(CA, this.origin));
    });
  }

  async start(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.origin = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  private answerTo({ url = '' }: IncomingMessage): { body: string; status: number } {
    const at = ['/directory', '/account', '/order', '/authorization', '/order/1', '/certificate'];
    const found = at.indexOf(url);
    const body: string = this.lines[url === '/finalize' ? 4 : found] ?? '{}';
    // A problem is one by its status, and an order is made.
    const status = body.includes('"detail":"no such') ? 400 : url === '/order' ? 201 : 200;
    return { body, status };
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

let scripted: Promise<{ ca: ScriptedCa; key: string }> | null = null;

async function begin(): Promise<{ ca: ScriptedCa; key: string }> {
  const ca = new ScriptedCa();
  await ca.start();
  return { ca, key: await Ca.newKey() };
}

/** What it comes to; null where it is refused by an error that was meant. */
async function meant<T>(call: () => Promise<T>): Promise<T | null> {
  try {
    return await call();
  } catch (error) {
    ok(error instanceof AcmeError, String((error as Error).stack ?? error));
    ok(error.message.length < MESSAGE_MAX, 'a long message');
    return null;
  }
}

function checkOffer({ domain, problem: why, types, isValid }: Offer): void {
  ok(typeof domain === 'string' && typeof why === 'string', 'an offer without texts');
  ok(domain.length <= 1000 && why.length <= 1000, 'an offer with a long text');
  ok(typeof isValid === 'boolean');
  for (const type of types) ok(type === 'http-01' || type === 'tls-alpn-01', `a type ${type}`);
}

async function converse(ca: Ca, key: string): Promise<void> {
  const registered = await meant(() => ca.register());
  if (registered !== null) ok(typeof registered.url === 'string', 'an account without URL');
  const made = await meant(() => ca.order());
  if (made === null) return;
  const offers = (await meant(() => ca.offers(made))) ?? [];
  for (const offer of offers) {
    checkOffer(offer);
    if (!offer.types.includes('http-01')) continue;
    const shown = await meant(() => ca.prepare(offer, 'http-01'));
    if (shown !== null) ok(shown.type === 'http-01' && TOKEN_PATTERN.test(shown.token));
    await meant(() => ca.complete(offer, 'http-01'));
  }
  const last = await meant(() => ca.finalize(made, key));
  const looked = await meant(() => ca.look(made.url));
  for (const one of [last, looked]) {
    if (one === null) continue;
    await meant(async () => ok(orderProblem(one).length < MESSAGE_MAX, 'a long problem'));
    // It is asked for when the order says that it is there.
    if (one.status !== 'valid') continue;
    const chain = await meant(() => ca.certificate(one));
    ok(chain === null || typeof chain === 'string', 'a chain that is no text');
  }
}

export const acmeTarget: FuzzTarget = {
  name: 'acme',
  seeds: SEEDS,
  morsels: [
    ...[
      'null',
      '[]',
      '{}',
      '""',
      '-1',
      '1e99',
      '"__proto__"',
      '"constructor"',
      '\\u0000',
      '\\u001b[',
    ],
    ...['"http-01"', '"valid"', '"invalid"', '"ready"', `"${CA}/order"`, '"challenges"', '"error"'],
  ],
  check: async (input) => {
    scripted ??= begin();
    const { ca: server, key } = await scripted;
    server.lines = input.split('\n');
    const acme: AcmeSettings = {
      ...{ directory: `${server.origin}/directory`, email: 'a@example.com', domains: [DOMAIN] },
      ...{ dir: '', challenge: 'auto' as const, caFile: '', binding: null, terms: '' },
    };
    const signal = AbortSignal.timeout(CALL_MS);
    const ca = new Ca(
      acme,
      { url: '', key, terms: '' },
      { clock: systemClock, signal, binding: {} },
    );
    try {
      await converse(ca, key);
    } finally {
      await ca.close();
    }
  },
  close: async () => {
    const open = scripted;
    scripted = null;
    await (await open)?.ca.close();
  },
};
