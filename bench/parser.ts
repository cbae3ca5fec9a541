// Micro-benchmark of http1/: nanoseconds per message head, and per step around it.
// `node bench/parser.ts [--json]`. Each case is warmed up, then timed in rounds; the median and the
// least of the rounds are printed. The first row, one table look-up per byte of the browser's
// request, says how fast this machine is: compare the others with it, not with other machines.
import { ChunkedDecoder } from '../src/http1/chunked-decoder.ts';
import { FIELD_IDS, FieldId } from '../src/http1/fields.ts';
import { HeadParser, HeadState } from '../src/http1/head-parser.ts';
import { copyFields, HeadWriter } from '../src/http1/head-writer.ts';

const ROUNDS = 15;
const ROUND_MS = 40;
const LIMITS = { headBytes: 32_768, fieldCount: 100, targetBytes: 8192 };

const GET = 'GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n';

const BROWSER = [
  'GET /articles/2026/11/how-a-proxy-reads-a-request?ref=front-page HTTP/1.1',
  'Host: www.example.com',
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8',
  'Accept-Language: en-GB,en;q=0.7,de;q=0.3',
  'Accept-Encoding: gzip, deflate, br, zstd',
  'Referer: https://www.example.com/',
  'Connection: keep-alive',
  'Cookie: session=3f9d2c81a7b64e0c9d5f7a1be2c84d60; theme=dark; consent=1730000000',
  'Upgrade-Insecure-Requests: 1',
  'Sec-Fetch-Dest: document',
  'Sec-Fetch-Mode: navigate',
  'Sec-Fetch-Site: same-origin',
  'Priority: u=0, i',
  'Cache-Control: max-age=0',
  '\r\n',
].join('\r\n');

const RESPONSE = [
  'HTTP/1.1 200 OK',
  'Server: nginx/1.22.1',
  'Date: Fri, 20 Nov 2026 12:00:00 GMT',
  'Content-Type: application/octet-stream',
  'Content-Length: 100',
  'Last-Modified: Thu, 19 Nov 2026 08:30:00 GMT',
  'Connection: keep-alive',
  'ETag: "673c4b28-64"',
  'Accept-Ranges: bytes',
  '\r\n',
].join('\r\n');

/** A parser that takes the whole head from where it lies in a read buffer, as a wire gives it. */
function wholeHead(kind: 'request' | 'response', text: string): () => number {
  const base = Buffer.alloc(65_536);
  const end = 1024 + base.write(text, 1024, 'latin1');
  const parser = new HeadParser(kind, LIMITS);
  return () => {
    parser.reset();
    const next = parser.feed(base, 1024, end);
    if (parser.state !== HeadState.done) throw new Error(`not parsed: ${parser.fault}`);
    return next;
  };
}

/** The same head in two pieces: it has to be gathered. */
function headInPieces(text: string): () => number {
  const base = Buffer.from(text, 'latin1');
  const half = base.length >> 1;
  const parser = new HeadParser('request', LIMITS);
  return () => {
    parser.reset();
    parser.feed(base, 0, half);
    parser.feed(base, half, base.length);
    if (parser.state !== HeadState.done) throw new Error(`not parsed: ${parser.fault}`);
    return parser.head.fieldCount;
  };
}

function copyOn(text: string): () => number {
  const base = Buffer.from(text, 'latin1');
  const parser = new HeadParser('request', LIMITS);
  parser.feed(base, 0, base.length);
  const drop = new Uint8Array(FIELD_IDS);
  drop[FieldId.host] = 1;
  const writer = new HeadWriter();
  return () => {
    writer.reset();
    writer.text('GET / HTTP/1.1\r\nHost: www.example.com\r\n');
    copyFields(writer, parser.head, drop);
    return writer.length;
  };
}

/** 16 KiB of data in chunks of 4 KiB, decoded in place; the bytes are put back each time. */
function chunked(): () => number {
  const chunk = `1000\r\n${'x'.repeat(4096)}\r\n`;
  const original = Buffer.from(`${chunk.repeat(4)}0\r\n\r\n`);
  const bytes = Buffer.from(original);
  const decoder = new ChunkedDecoder();
  return () => {
    original.copy(bytes);
    decoder.reset();
    return decoder.decode(bytes, 0, bytes.length);
  };
}

function plainScan(text: string): () => number {
  const bytes = Buffer.from(text, 'latin1');
  const table = new Uint8Array(256).fill(1);
  return () => {
    let count = 0;
    for (let at = 0; at < bytes.length; at += 1) count += table[bytes[at]!]!;
    return count;
  };
}

const cases: readonly (readonly [string, () => number])[] = [
  [`table look-up per byte, ${BROWSER.length} bytes`, plainScan(BROWSER)],
  [`request head, ${GET.length} bytes`, wholeHead('request', GET)],
  [`request head of a browser, ${BROWSER.length} bytes`, wholeHead('request', BROWSER)],
  [`the same in two pieces`, headInPieces(BROWSER)],
  [`response head, ${RESPONSE.length} bytes`, wholeHead('response', RESPONSE)],
  ['start line written, fields of the browser copied', copyOn(BROWSER)],
  ['chunked body decoded, 16 KiB in 4 chunks', chunked()],
];

/** Keeps the results of the cases in use, so that none is optimised away. */
let sink = 0;

function timeRound(run: () => number, count: number): number {
  const begin = process.hrtime.bigint();
  for (let i = 0; i < count; i += 1) sink += run();
  return Number(process.hrtime.bigint() - begin) / count;
}

function measure(run: () => number): { medianNs: number; leastNs: number } {
  const roughNs = timeRound(run, 20_000);
  const count = Math.max(1000, Math.round((ROUND_MS * 1e6) / roughNs));
  timeRound(run, count);
  const rounds = Array.from({ length: ROUNDS }, () => timeRound(run, count));
  rounds.sort((a, b) => a - b);
  return { medianNs: rounds[ROUNDS >> 1]!, leastNs: rounds[0]! };
}

const results = cases.map(([name, run]) => ({ name, ...measure(run) }));
if (process.argv.includes('--json')) {
  console.log(JSON.stringify({ node: process.version, results }, null, 2));
} else {
  for (const { name, medianNs, leastNs } of results) {
    console.log(`${medianNs.toFixed(0).padStart(6)} ns  (least ${leastNs.toFixed(0)})  ${name}`);
  }
}
if (sink < 0) process.exitCode = 1;
