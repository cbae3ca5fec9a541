// gRPC: what an endpoint may answer to three calls on one connection, and grpc-timeout and grpc-message as texts. Each call
// ends by the status of the endpoint, by one of ours, or by a cut; what looks complete is all that the endpoint has said.
import { equal, ok } from 'node:assert/strict';
import { HeadParser, HeadState } from '../../src/http1/head-parser.ts';
import { reasons } from '../../src/model/reason.ts';
import { grpcLines, grpcTimeoutMs, isGrpc } from '../../src/proxy/http/grpc.ts';
import { type Answer, block, frame, SETTINGS, uint32 } from '../support/http2.ts';
import type { Call, Run } from './endpoint-stage.ts';
import { checkContent, checkEnd, endpointTarget } from './endpoint-target.ts';
import { blocksOf, type Conversation, isTame, readConversation, Told } from './frame-judge.ts';
import type { FuzzTarget } from './target.ts';

const TYPE = { 'content-type': 'application/grpc' };
/** What no input is longer than. */
const LIMITS = { headBytes: 300_000, fieldCount: 10, targetBytes: 100 };
const DETAIL_CHARS_MAX = 2000;
/** Those that Upriver gives its own failures. */
const OURS = new Set(['4', '8', '12', '13', '14']);

/** A message with its five bytes (not compressed, length). */
const message = (text: string) => `\0${uint32(text.length)}${text}`;

const call = (name: string, text: string, timeout = '600S'): Call => ({
  headers: {
    ...{ ':method': 'POST', ':path': `/test.Echo/${name}`, te: 'trailers', ...TYPE },
    'grpc-timeout': timeout,
  },
  body: message('question'),
  good: { headers: TYPE, body: message(text), trailers: { 'grpc-status': '0' } },
});
const CALLS = [call('One', 'one'), call('Two', 'two'), call('Three', 'three', '99999999H')];

const head = (id: number, fields: Readonly<Record<string, string>> = {}, flags = 4) =>
  frame(1, flags, id, block({ ':status': '200', ...TYPE, 'x-from': 'script', ...fields }));
const trailers = (id: number, status: string, fields: Readonly<Record<string, string>> = {}) =>
  frame(1, 5, id, block({ 'grpc-status': status, ...fields }));
const one = [head(1), frame(0, 0, 1, message('one')), trailers(1, '0')];
// A message over two frames, and two messages in one.
const whole = message('first') + message('second');
const two = [
  ...[head(3), frame(0, 0, 3, whole.slice(0, 3)), frame(0, 0, 3, whole.slice(3))],
  trailers(3, '9', { 'grpc-message': 'not now, n%C3%A4her' }),
];
const three = [head(5, { 'grpc-status': '5', 'grpc-message': 'no%20such' }, 5)];

const SEEDS = [
  [SETTINGS, ...one, ...two, ...three],
  [SETTINGS, one[0], two[0], two[1], one[1], three[0], two[2], one[2], two[3]],
  [SETTINGS, frame(4, 1, 0), ...three, ...two, ...one],
  [SETTINGS, ...one, ...three, frame(3, 0, 3, uint32(7))],
  [SETTINGS, ...one, ...three, frame(7, 0, 0, uint32(1) + uint32(0))],
  [SETTINGS, ...one, two[0], two[1], frame(3, 0, 3, uint32(8)), ...three],
].map((frames) => frames.join(''));
const LITERALS = [
  ...['0', '16', '17', '-1', '', '0, 0', '99999999999'].map((text) => trailers(1, text)),
  ...[trailers(3, '0', { 'grpc-message': '%' }), trailers(3, '0', { 'grpc-message': '%0d%0a' })],
  ...[trailers(3, '0', { ':status': '200' }), trailers(1, '0', { 'content-length': '3' })],
  ...[trailers(3, '0', { 'grpc-status': '1' }), trailers(1, '0', { te: 'x', connection: 'close' })],
  ...[head(1, { 'content-length': '8' }), head(3, { 'content-length': '7' }), head(5, {}, 5)],
  ...['400', '401', '404', '429', '502', '503', '504', '100', '204'].map((status) =>
    frame(1, 4, 1, block({ ':status': status, 'content-type': 'text/html' })),
  ),
  ...[head(1, { 'grpc-encoding': 'gzip' }), frame(1, 5, 3, block({ 'x-t': '1' }))],
];
const MORSELS = [
  ...LITERALS,
  ...[1, 3, 5].flatMap((id) => [frame(0, 1, id), frame(0, 0, id), frame(3, 0, id, uint32(0))]),
  ...[2, 7, 8, 11].map((code) => frame(3, 0, 3, uint32(code))),
  ...[frame(7, 0, 0, uint32(3) + uint32(0)), frame(7, 0, 0, uint32(0) + uint32(11)), SETTINGS],
  ...[
    frame(0, 0, 1, '\x01\xff\xff\xff\xff'),
    frame(0, 0, 3, '\0\0\0\0'),
    frame(8, 0, 1, uint32(0)),
  ],
  ...[frame(4, 0, 0, `\0\x03${uint32(1)}`), frame(4, 0, 0, `\0\x04${uint32(3)}`), '\0', '\xff'],
];

const PLAIN = readConversation(SEEDS[0]!).streams;
const NOTHING = new Told();
const LITERAL = blocksOf([...SEEDS, ...LITERALS]);
const STATUSES: Readonly<Record<number, string>> = { 1: '0', 3: '9', 5: '5' };

function statusOf({ headers, trailers: last }: Answer): string {
  return String(last['grpc-status'] ?? headers['grpc-status'] ?? '');
}

function judgeCall(answer: Answer, told: Told, good: Call['good']): void {
  const { status, headers, body, code } = answer;
  checkEnd(answer);
  if (headers['x-upriver-reason'] !== undefined) {
    ok(status === 200 && code === 0 && body === '', 'a failure that no client of gRPC understands');
    ok(headers['content-type'] === 'application/grpc' && OURS.has(statusOf(answer)));
    return;
  }
  if (code !== 0) return;
  if (headers['x-from'] === 'good') {
    equal(body, good.body);
    return equal(statusOf(answer), '0');
  }
  checkContent(answer, told);
}

function judge({ answers, ids, repeated }: Run, { streams, types }: Conversation): void {
  for (const [i, answer] of answers.entries()) {
    const told = streams.get(ids[i]!.at(-1)!) ?? NOTHING;
    judgeCall(answer, told, CALLS[i]!.good);
    ok(repeated[i]! <= 1, 'asked again without need');
    ok(repeated[i] === 0 || types.has(3) || types.has(7), 'a call was made twice');
  }
}

/** Nothing was wrong with the connection: what was said whole on a stream is the answer. */
function judgeTame({ answers, ids }: Run, { streams }: Conversation): void {
  for (const [i, answer] of answers.entries()) {
    const [id = 0] = ids[i]!;
    const told = streams.get(id) ?? NOTHING;
    const plain = PLAIN.get(id)!;
    if (!told.hasEnd || !told.isPartOf(plain)) continue;
    ok(answer.code === 0 && answer.headers['x-from'] === 'script', `harmed by another: ${id}`);
    equal(answer.body, plain.data);
    equal(statusOf(answer), STATUSES[id]);
  }
}

const grpcAnswer = endpointTarget({
  name: 'grpc-answer',
  seeds: SEEDS,
  morsels: MORSELS,
  calls: CALLS,
  judge: (run, input) => {
    const conversation = readConversation(input);
    judge(run, conversation);
    if (isTame(input, [...PLAIN.keys()], LITERAL)) judgeTame(run, conversation);
  },
});

/** Nanoseconds. */
const UNITS: Readonly<Record<string, bigint>> = {
  H: 3_600_000_000_000n,
  ...{ M: 60_000_000_000n, S: 1_000_000_000n, m: 1_000_000n, u: 1000n, n: 1n },
};

/** Whole milliseconds, rounded up, 1 at least; 0 where the text is none (doc/PROTOCOL-HTTP2.md). */
function timeoutOf(text: string): number {
  const unit = UNITS[text.at(-1) ?? ''];
  const digits = text.slice(0, -1);
  const isNumber = digits.length >= 1 && digits.length <= 8 && /^[0-9]*$/.test(digits);
  if (unit === undefined || !isNumber) return 0;
  return Math.max(1, Number((BigInt(digits) * unit + 999_999n) / 1_000_000n));
}

/** What a client of gRPC makes of grpc-message. */
function unescaped(text: string): string {
  const bytes = text.replace(/%([0-9A-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, 'latin1').toString();
}

/** A value of grpc-timeout, and a detail of a failure. */
const grpcText: FuzzTarget = {
  name: 'grpc-text',
  seeds: ['1S', '99999999H', '0n', '1500u', '100m', '5M', '', '\u00e9 100% \u{1f600}\r\nx: y'],
  morsels: [...'HMSmun', '0', '9', '00000000', '-', '+', '.', ' ', 'e', '%', '%41', '\x7f', '\t'],
  check: (input) => {
    const value = input.replace(/[^\x21-\x7e\x80-\xff]/g, '');
    const parser = new HeadParser('request', LIMITS);
    const fields = `Host: a\r\nTE: trailers\r\nContent-Type: application/grpc\r\nGrpc-Timeout: ${value}\r\n`;
    const bytes = Buffer.from(`POST / HTTP/1.1\r\n${fields}\r\n`, 'latin1');
    parser.feed(bytes, 0, bytes.length);
    equal(parser.state, HeadState.done);
    ok(isGrpc(parser.head));
    equal(grpcTimeoutMs(parser.head), timeoutOf(value));
    const detail = input.slice(0, DETAIL_CHARS_MAX).toWellFormed();
    const one = reasons[input.length % reasons.length]!;
    const lines = grpcLines(one, detail);
    ok(/^(?:[a-z-]+: [\x20-\x7e]*\r\n){4}$/.test(lines), 'a line that is none');
    const said = unescaped(/grpc-message: (.*)\r\n/.exec(lines)![1]!);
    ok(said.endsWith(detail) && said.startsWith(one.text.replace(/\.$/, '')), said);
  },
};

export const grpcTargets: readonly FuzzTarget[] = [grpcAnswer, grpcText];
