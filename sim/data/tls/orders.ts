// Challenges of ACME by TLS (RFC 8737) and HTTP (RFC 8555) that come and go while others are served: which are outstanding, as workers
// are told, and who validates them, at the time or not, as asked or in a way that must get no answer.
import type { Challenge } from '../../../src/model/acme.ts';
import { Chance } from '../../kernel/chance.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { textOf } from '../../tls/certificate.ts';
import type { Book } from '../book.ts';
import type { WorkerHost } from '../host.ts';
import type { ListenRules } from './rules.ts';

export interface OrderPlan {
  readonly name: string;
  readonly atMs: number;
  readonly forMs: number;
}

/**
 * `other-name` asks for a name that is not ordered; `offers-more` offers other protocols as well. `http` asks in plain,
 * and `http-other` for a token of another order, or of none.
 */
export type ValidatorKind = 'asks' | 'other-name' | 'offers-more' | 'http' | 'http-other';

export interface ValidatorPlan {
  readonly name: string;
  readonly kind: ValidatorKind;
  readonly order: OrderPlan;
  readonly service: string;
  readonly port: number;
  /** Balancers introduce their clients there. */
  readonly accepts: boolean;
  readonly startMs: number;
}

export interface OrdersPlan {
  readonly orders: readonly OrderPlan[];
  readonly validators: readonly ValidatorPlan[];
}

export const NO_ORDERS: OrdersPlan = { orders: [], validators: [] };
/** Workers know of it so much later at most. */
const MESSAGE_MS = 15;
const ISSUER = 'challenge';
const FOR_EVER_MS = 1e12;

interface OrderedService {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly places: number;
  readonly proxy: { readonly accepts: boolean };
  readonly tls: ListenRules | null;
}

export function drawOrders(
  seed: number,
  {
    services,
    spanMs,
    share,
  }: { services: readonly OrderedService[]; spanMs: number; share: number },
): OrdersPlan {
  const chance = new Chance(seed, 'orders');
  // At a listener of TCP, which has no ALPN, who asks too late would have a session.
  const targets = services.filter(
    ({ tls, places, protocol }) => tls !== null && places === 0 && protocol === 'http',
  );
  if (targets.length === 0 || !chance.happens(share)) return NO_ORDERS;
  const orders = Array.from({ length: chance.int(1, 3) }, (_, i) => ({
    name: `order${i}`,
    atMs: Math.round(chance.between(10, spanMs * 0.7)),
    forMs: chance.int(100, 3000),
  }));
  const validators = Array.from({ length: chance.int(2, 12) }, (_, i): ValidatorPlan => {
    const order = chance.pick(orders);
    const { name: service, port, proxy } = chance.pick(targets);
    const within = order.atMs + chance.between(0, order.forMs);
    const startMs = chance.happens(0.8) ? within : chance.between(10, spanMs);
    const kind = chance.pick(['asks', 'asks', 'asks', 'other-name', 'offers-more'] as const);
    const { accepts } = proxy;
    return { name: `v${i}`, kind, order, service, port, accepts, startMs };
  });
  return {
    orders,
    validators: [...validators, ...drawHttpValidators(seed, { services, spanMs, orders })],
  };
}

/** At listeners of HTTP in plain, drawn apart. */
function drawHttpValidators(
  seed: number,
  {
    services,
    spanMs,
    orders,
  }: { services: readonly OrderedService[]; spanMs: number; orders: readonly OrderPlan[] },
): ValidatorPlan[] {
  const chance = new Chance(seed, 'http orders');
  const targets = services.filter(
    ({ tls, places, protocol }) => tls === null && places === 0 && protocol === 'http',
  );
  if (targets.length === 0) return [];
  return Array.from({ length: chance.int(2, 12) }, (_, i): ValidatorPlan => {
    const order = chance.pick(orders);
    const { name: service, port, proxy } = chance.pick(targets);
    const within = order.atMs + chance.between(0, order.forMs);
    const startMs = chance.happens(0.7) ? within : chance.between(20, spanMs);
    const kind = chance.pick(['http', 'http', 'http-other'] as const);
    const { accepts } = proxy;
    return { name: `vh${i}`, kind, order, service, port, accepts, startMs };
  });
}

export function domainOf({ name }: OrderPlan): string {
  return `${name}.sim`;
}

/** In the path of a challenge by HTTP. */
export function tokenOf({ name }: OrderPlan): string {
  return `token-of-${name}`;
}

/** What is answered to that. */
export function answerOf(order: OrderPlan): string {
  return `${tokenOf(order)}.thumbprint`;
}

/** The certificate that is shown to who validates it, and to nobody else. */
export function challengeChain(order: OrderPlan): string {
  const names = [domainOf(order)];
  return textOf({ names, subject: '', issuer: ISSUER, serial: 1, untilMs: FOR_EVER_MS });
}

/** Whether it is outstanding in all workers between these two times; null: in some, or for some of it. */
export function isOutstanding(order: OrderPlan, fromMs: number, toMs: number): boolean | null {
  const endMs = order.atMs + order.forMs;
  if (fromMs > order.atMs + MESSAGE_MS && toMs < endMs) return true;
  return toMs < order.atMs || fromMs > endMs + MESSAGE_MS ? false : null;
}

/** Tells workers what is outstanding as it comes and goes. */
export function playOrders(
  kernel: Kernel,
  { orders, hosts, book }: { orders: readonly OrderPlan[]; hosts: WorkerHost[]; book: Book },
): void {
  const current = new Set<OrderPlan>();
  const tell = (): void => {
    const list = [...current];
    const table = {
      domains: orders.map(domainOf),
      challenges: list.flatMap((order) => challengesOf(order)),
    };
    for (const [i, { context }] of hosts.entries()) {
      const lateMs = kernel.chance(`challenges at ${i} ${kernel.nowMs}`).between(0, MESSAGE_MS);
      // Messages come in order.
      lastMs[i] = Math.max(lastMs[i] ?? 0, kernel.nowMs + lateMs);
      kernel.at(lastMs[i], () => context.challenges.set(table));
    }
  };
  const lastMs: number[] = [];
  // Names whose certificates are ordered are known from the start on.
  for (const { context } of hosts)
    context.challenges.set({ domains: orders.map(domainOf), challenges: [] });
  for (const order of orders) {
    kernel.at(order.atMs, () => {
      book.note(`control: a challenge for ${domainOf(order)} is outstanding`);
      current.add(order);
      tell();
    });
    kernel.at(order.atMs + order.forMs, () => {
      book.note(`control: the challenge for ${domainOf(order)} is over`);
      current.delete(order);
      tell();
    });
  }
}

function challengesOf(order: OrderPlan): Challenge[] {
  const domain = domainOf(order);
  return [
    { type: 'tls-alpn-01', domain, chain: challengeChain(order), privateKey: '' },
    { type: 'http-01', domain, token: tokenOf(order), answer: answerOf(order) },
  ];
}
