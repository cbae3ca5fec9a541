// What an endpoint of HTTP/2 may say on a connection that three requests share: two GETs and a POST. Each of them ends once,
// by an answer that is what the endpoint has said in full, by one of ours, or by a cut that can be seen. What is odd on one
// stream harms no other one, and what a broken connection left unanswered is asked again where it may be.
import { ok } from 'node:assert/strict';
import type { Answer } from '../support/http2.ts';
import { block, frame, SETTINGS, uint32 } from '../support/http2.ts';
import type { Call, Run } from './endpoint-stage.ts';
import { checkContent, checkEnd, endpointTarget } from './endpoint-target.ts';
import { blocksOf, type Conversation, isTame, readConversation, Told } from './frame-judge.ts';

const call = (method: string, path: string, body: string | null, answer: string): Call => ({
  headers: { ':method': method, ':path': path },
  body,
  good: { headers: {}, body: answer, trailers: null },
});
const CALLS = [
  call('GET', '/a', null, 'alpha'),
  call('GET', '/b', null, 'beta'),
  call('POST', '/c', 'question', 'gamma'),
];

const head = (id: number, fields: Readonly<Record<string, string>>, flags = 4) =>
  frame(1, flags, id, block({ ':status': '200', 'x-from': 'script', ...fields }));
const alpha = [head(1, { 'content-length': '5' }), frame(0, 1, 1, 'alpha')];
const beta = [
  head(3, {}),
  frame(0, 0, 3, 'be'),
  frame(0, 0, 3, 'ta'),
  frame(1, 5, 3, block({ 'x-t': '1' })),
];
const hints = frame(1, 4, 5, block({ ':status': '103', link: '</s>' }));
const gamma = [hints, head(5, { 'x-c': 'c' }), frame(0, 1, 5, 'gamma')];
const goaway = (last: number, code = 0) => frame(7, 0, 0, uint32(last) + uint32(code));
const settings = frame(4, 0, 0, `\0\x03${uint32(50)}\0\x04${uint32(70_000)}`);

const ALL = [...alpha, ...beta, ...gamma];
const SEEDS = [
  [SETTINGS, ...ALL],
  [settings, alpha[0], beta[0], gamma[0], beta[1], gamma[1], gamma[2], beta[2], alpha[1], beta[3]],
  [SETTINGS, frame(4, 1, 0), frame(8, 0, 0, uint32(1000)), ...gamma, ...alpha, ...beta],
  [settings, frame(6, 0, 0, '12345678'), ...beta, frame(8, 0, 1, uint32(9)), ...alpha, ...gamma],
  [SETTINGS, ...ALL, goaway(5)],
  [SETTINGS, ...alpha, goaway(1)],
  [SETTINGS, frame(3, 0, 3, uint32(7)), ...alpha, frame(3, 0, 5, uint32(7))],
  [SETTINGS, frame(2, 0, 1, '\0\0\0\0\x10'), frame(0x20, 9, 0, 'unknown'), ...ALL],
].map((frames) => frames.join(''));
const MORSELS = [
  ...[SETTINGS, frame(4, 1, 0), settings, goaway(0), goaway(3, 2), goaway(2 ** 31 - 1)],
  ...[0, 1, 2, 5, 7, 8, 11, 13].map((code) => frame(3, 0, 1, uint32(code))),
  ...[frame(3, 0, 3, uint32(7)), frame(3, 0, 7, uint32(8)), frame(5, 4, 1, uint32(2))],
  ...[frame(8, 0, 0, uint32(0)), frame(8, 0, 1, uint32(0)), frame(8, 0, 0, uint32(2 ** 31 - 1))],
  ...[frame(6, 0, 0, '12345678'), frame(6, 1, 0, '12345678'), frame(6, 0, 0, '1234567')],
  ...[1, 3, 4, 5, 8].map((key) => frame(4, 0, 0, `\0${String.fromCharCode(key)}${uint32(0)}`)),
  ...[frame(4, 0, 0, `\0\x02${uint32(1)}`), frame(4, 0, 0, `\0\x05${uint32(1)}`)],
  ...[frame(0, 0, 1), frame(0, 1, 1), frame(0, 0, 3, 'x'.repeat(20_000)), frame(0, 8, 1, '\xff')],
  ...[frame(1, 5, 1, block({ 'x-t': '1' })), frame(1, 5, 3, block({ ':status': '200' }))],
  ...[
    frame(1, 4, 1, '\x40\x01a\x01b\xbe'),
    frame(1, 4, 5, '\x3f\xe1\xff\x03'),
    frame(1, 4, 3, '\xc0'),
  ],
  ...['204', '304', '101', '099', '1000', '2x0'].map((text) =>
    frame(1, 4, 1, block({ ':status': text })),
  ),
  ...['0', '4', '6', '-1', '5, 5', ' 5'].map((text) => head(1, { 'content-length': text })),
  ...[head(1, { connection: 'close' }), head(3, { 'X-A': 'b' }), head(5, { 'x-a': 'b\r\nc: d' })],
  ...[
    head(1, { 'transfer-encoding': 'chunked' }),
    head(1, { 'x-a': 'y'.repeat(9000) }),
    head(1, {}, 5),
  ],
  ...[frame(9, 4, 1), frame(9, 0, 1), hints.repeat(30), '\xff', '\0\0'],
];

/** What each stream says where nothing is odd. */
const PLAIN = readConversation(SEEDS[0]!).streams;
const NOTHING = new Told();
const IDS = [...PLAIN.keys()];
/** Those that are HPACK without tables, however wrong their fields are. */
const LITERAL = blocksOf([
  ...SEEDS,
  ...MORSELS.filter((text) => text.includes(':status') || text.includes('\0\x03x-t')),
]);
function judgeAnswer(answer: Answer, told: Told, goodBody: string): void {
  const { headers, body, code } = answer;
  checkEnd(answer);
  if (code !== 0 || headers['x-upriver-reason'] !== undefined) return;
  if (headers['x-from'] === 'good') return ok(body === goodBody, `${body} instead of ${goodBody}`);
  checkContent(answer, told);
}

function judge({ answers, ids, repeated }: Run, { streams, types }: Conversation): void {
  for (const [i, answer] of answers.entries()) {
    const { headers, good } = CALLS[i]!;
    const id = ids[i]!.at(-1)!;
    const told = streams.get(id) ?? NOTHING;
    judgeAnswer(answer, told, good.body);
    ok(repeated[i]! <= 1, 'asked again without need');
    if (headers[':method'] === 'GET') judgeNeighbour(answer, told, PLAIN.get(id) ?? null);
    else ok(repeated[i] === 0 || types.has(3) || types.has(7), 'a POST twice');
  }
}

/**
 * Whatever became of the others: a GET whose stream has nothing odd is answered, or asked again, or cut where its answer had
 * begun. `plain` is null for a stream on which it was asked again after it was refused: the script knows nothing of it.
 */
function judgeNeighbour(answer: Answer, told: Told, plain: Told | null): void {
  if (plain === null || !told.isPartOf(plain)) return;
  ok(answer.status === 200, `${answer.status} though nothing was wrong with it`);
  ok(answer.code === 0 || told.events.length > 0, 'an answer that had not begun was cut');
}

/** Nothing was wrong with the connection: what was said whole on a stream is the answer. */
function judgeTame({ answers, ids }: Run, { streams }: Conversation): void {
  for (const [i, { code, headers }] of answers.entries()) {
    const [id = 0] = ids[i]!;
    const told = streams.get(id) ?? NOTHING;
    if (!told.hasEnd || !told.isPartOf(PLAIN.get(id)!)) continue;
    ok(code === 0 && headers['x-from'] === 'script', `harmed by another stream: ${id}`);
  }
}

export const http2EndpointTarget = endpointTarget({
  name: 'http2-endpoint',
  seeds: SEEDS,
  morsels: MORSELS,
  calls: CALLS,
  judge: (run, input) => {
    const conversation = readConversation(input);
    judge(run, conversation);
    if (isTame(input, IDS, LITERAL)) judgeTame(run, conversation);
  },
});
