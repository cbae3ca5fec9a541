// The operator: says words about endpoints by the API of the stats port, at times in a way in which nobody
// may, and reads what became of them.
import type { Chance } from '../kernel/chance.ts';
import type { Word } from './expected.ts';
import { shownTable } from './expected.ts';
import type { SimProcess } from './sim-process.ts';
import type { StatsRequest } from './stats-client.ts';

export type Spoken = Word['state'] | 'weight';

/** What an operator said, and by which status it was answered. */
export interface Said {
  readonly service: string;
  readonly id: string;
  readonly word: Spoken;
  /** Whether nothing may be sent to an address: what has it stays down whatever is said. */
  readonly isDenied: (address: string) => boolean;
}

export const WEIGHT = 7;

/** Ways in which nothing may be changed: what is wrong with the request, and the status that it gets. */
const REFUSED: readonly (readonly [number, (plain: StatsRequest) => StatsRequest])[] = [
  [403, (plain) => ({ ...plain, headers: { origin: 'http://elsewhere.example' } })],
  [403, (plain) => ({ ...plain, headers: { 'sec-fetch-site': 'cross-site' } })],
  [403, (plain) => ({ ...plain, headers: { 'x-forwarded-for': '127.0.0.1' } })],
  [403, (plain) => ({ ...plain, headers: { host: 'rebound.example' } })],
  [405, (plain) => ({ ...plain, method: 'GET' })],
  [413, (plain) => ({ ...plain, body: ' '.repeat(100_000) })],
  [404, (plain) => ({ ...plain, url: plain.url.replace('/endpoints/', '/endpoints/no') })],
  [400, (plain) => ({ ...plain, url: plain.url.replace(/\/[a-z]+(\?.*)?$/, '/weight?weight=x') })],
];

/** Says it; `onDone` is called once it is in force, and not where it is refused. */
export function operate(
  process: SimProcess,
  said: Said,
  { chance, onDone, fault }: { chance: Chance; onDone: () => void; fault: (text: string) => void },
): void {
  const plain = requestOf(said, chance);
  const isRefused = chance.happens(0.15);
  const [status, spoil] = chance.pick(REFUSED);
  const request = isRefused ? spoil(plain) : plain;
  const isKnown = process.upriver.controller
    .service(said.service)
    ?.endpoints.some(({ id }) => id === said.id);
  const expected = isRefused ? status : isKnown === true ? 200 : 404;
  process.stats.ask(request, (got, body) => {
    if (got !== expected) {
      const what = `${request.method} ${request.url} with ${JSON.stringify(request.headers ?? {})}`;
      fault(`${what} is answered by ${got} ${body.trim()}, and ${expected} would be right`);
    }
    if (got !== 200) return;
    onDone();
    if (!isShown(body, said)) fault(`${request.url} answers ${body.trim()}`);
    readBack(process, said.service, fault);
  });
}

function requestOf({ service, id, word }: Said, chance: Chance): StatsRequest {
  const path = `/api/v1/services/${service}/endpoints/${encodeURIComponent(id)}/${word}`;
  const plain: StatsRequest = { method: 'POST', url: path };
  if (word !== 'weight') return plain;
  return chance.happens(0.5)
    ? { ...plain, url: `${path}?weight=${WEIGHT}` }
    : { ...plain, body: JSON.stringify({ weight: WEIGHT }) };
}

function isShown(body: string, { id, word, isDenied }: Said): boolean {
  const { ok, endpoint } = JSON.parse(body) as {
    ok: boolean;
    endpoint: { id: string; address: string; state: string; weight: number } | null;
  };
  if (!ok || endpoint?.id !== id) return false;
  if (word === 'weight') return endpoint.weight === WEIGHT;
  // The process may not know yet that it has another address.
  if (isDenied(endpoint.address)) return endpoint.state === 'down';
  if (word === 'maint') return endpoint.state === 'maint';
  // Without a word of the operator's what others say of it shows; a drain may be outweighed by them.
  return word === 'ready' || endpoint.state !== 'up';
}

/** The API lists what the table has. */
function readBack(process: SimProcess, service: string, fault: (text: string) => void): void {
  process.stats.ask({ method: 'GET', url: `/api/v1/services/${service}` }, (status, body) => {
    const shown = shownTable(process.upriver.controller).get(service);
    if (status === 404 && shown === undefined) return;
    const { endpoints = [] } = JSON.parse(body) as {
      endpoints?: { id: string; address: string; port: number; weight: number; state: string }[];
    };
    const told = endpoints
      .map(
        ({ id, address, port, weight, state }) =>
          `${id} ${address}:${port} weight ${weight} ${state}`,
      )
      .sort();
    const is = [...(shown ?? [])].map(([id, text]) => `${id} ${text}`).sort();
    if (told.join() !== is.join())
      fault(`the API lists ${told} of ${service}, the table has ${is}`);
  });
}
