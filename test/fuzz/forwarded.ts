// What endpoints learn of a client (X-Forwarded-*, Forwarded, X-Real-IP), whatever the request says of it: exactly what the
// connection says, and of a trusted proxy what that says and the connection behind it. Read by splitting lines, apart from the
// product's parser.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { type Head, Target } from '../../src/http1/head.ts';
import { HeadParser, HeadState } from '../../src/http1/head-parser.ts';
import { HeadWriter } from '../../src/http1/head-writer.ts';
import { type ClientFacts, portLine } from '../../src/proxy/http/client-facts.ts';
import { HeaderPolicy } from '../../src/proxy/http/header-policy.ts';
import { writeRequestHead } from '../../src/proxy/http/request-head.ts';
import type { Wire } from '../../src/proxy/network.ts';
import { serviceOf } from '../support/plane.ts';
import type { FuzzTarget } from './target.ts';

const LIMITS = { headBytes: 64 * 1024, fieldCount: 100, targetBytes: 8192 };
/** A host is written up to three times, and there are some fields more. */
const WIDE_LIMITS = { ...LIMITS, headBytes: 4 * LIMITS.headBytes, fieldCount: 120 };
const PORT = 8080;

interface Variant {
  readonly address: string;
  readonly isTrusted: boolean;
  readonly forwarded: boolean;
}

const VARIANTS: readonly Variant[] = ['192.0.2.7', '2001:db8::7', ''].flatMap((address) =>
  [false, true].flatMap((isTrusted) =>
    [false, true].map((forwarded) => ({ address, isTrusted, forwarded })),
  ),
);

const SEEDS = [
  'Host: a.example\r\nX-Forwarded-For: 203.0.113.9, 10.0.0.1\r\nX-Forwarded-Proto: https\r\n',
  'Host: a\r\nX-Forwarded-Host: b\r\nX-Forwarded-Port: 443\r\nX-Real-IP: 203.0.113.9\r\n',
  'Host: [2001:db8::1]:81\r\nForwarded: for="[2001:db8::9]:1";proto=https;host=b, for=unknown\r\n',
  'Host: a\r\nX-Forwarded-For: a\r\nX-Forwarded-For: b\r\nX-Forwarded-For:\r\nForwarded: for=x\r\n',
  'Host: a\r\nConnection: x-forwarded-for, forwarded\r\nX-Forwarded-For: a\r\nForwarded: for=x\r\n',
  'Host: a\r\nX_Forwarded_For: a\r\nX-Forwarded_Proto: https\r\nX_Real_IP: b\r\nForwarded: \r\n',
].map((fields) => `GET /a HTTP/1.1\r\n${fields}\r\n`);
const MORSELS = [
  ...['X-Forwarded-For: evil\r\n', 'x-forwarded-proto: https\r\n', 'FORWARDED: for=evil\r\n'],
  ...['X-Real-IP: evil\r\n', 'X-Forwarded-Host: evil\r\n', 'x_forwarded_for: evil\r\n'],
  ...['Connection: X-Forwarded-For\r\n', 'Connection: close, x-real-ip\r\n', 'Via: 1.1 a\r\n'],
  ...[
    'http://b:80/c',
    'http://[::1]',
    '*',
    'OPTIONS',
    ' HTTP/1.0',
    '"',
    '\\"',
    ';',
    ',',
    '=',
    '\t',
  ],
  ...[
    ' ',
    '\r\n',
    '\r\n ',
    '\n',
    ':',
    '_',
    '-',
    '\xe9',
    'for=',
    'unknown',
    '[::1]',
    'x'.repeat(300),
  ],
];

type Field = readonly [name: string, value: string];

/** Names in lower case; values without the blanks around them. */
function fieldsIn(head: string): Field[] {
  const lines = head.split('\r\n\r\n')[0]!.split('\r\n').slice(1);
  return lines.map((line) => {
    const at = line.indexOf(':');
    return [line.slice(0, at).toLowerCase(), line.slice(at + 1).replace(/^[ \t]+|[ \t]+$/g, '')];
  });
}

const valuesOf = (fields: readonly Field[], name: string) =>
  fields.filter((one) => one[0] === name).map(([, value]) => value);

/** What the endpoint's Host is to be; '' where the client has named none. */
function hostOf(target: string, fields: readonly Field[]): string {
  const absolute = /^[a-z]+:\/\/([^/?#]*)/i.exec(target);
  return absolute === null ? (valuesOf(fields, 'host')[0] ?? '') : absolute[1]!;
}

function factsOf({ address, isTrusted }: Variant, policy: HeaderPolicy): ClientFacts {
  const shown = address === '' ? 'unknown' : address;
  const lines = `X-Forwarded-For: ${shown}\r\nX-Forwarded-Proto: http\r\n${portLine(PORT)}`;
  // Of the connection itself a head without a host asks its address, which has none here.
  const wire = { destination: null } as unknown as Wire;
  const none = { certificateLines: '', hstsLine: '' };
  return { policy, address, localPort: PORT, scheme: 'http', lines, ...none, isTrusted, wire };
}

/** The head as the endpoint gets it. */
function rewritten(head: Head, variant: Variant): string {
  const { http } = serviceOf({ http: { forwarded: variant.forwarded } });
  const policy = HeaderPolicy.of(http);
  const out = new HeadWriter();
  writeRequestHead(out, {
    ...{ head, client: factsOf(variant, policy), policy, route: null, upstreamHost: '' },
    ...{ isUpgrade: false, requestId: '', websocketKey: '' },
  });
  return out.view().toString('latin1');
}

function judge(given: readonly Field[], host: string, sent: readonly Field[], of: Variant): void {
  const { address, isTrusted, forwarded } = of;
  const shown = address === '' ? 'unknown' : address;
  const nominated = valuesOf(given, 'connection').flatMap((value) =>
    value.split(',').map((name) => name.trim().toLowerCase()),
  );
  /** What a trusted proxy says; nothing of anyone else. */
  const said = (name: string) =>
    isTrusted && !nominated.includes(name) ? valuesOf(given, name) : [];
  const list = (name: string) => said(name).filter((value) => value !== '');
  deepEqual(valuesOf(sent, 'x-forwarded-for'), [[...list('x-forwarded-for'), shown].join(', ')]);
  const once = (name: string, ours: readonly string[]) =>
    deepEqual(valuesOf(sent, name), said(name).length > 0 ? said(name) : ours, name);
  once('x-forwarded-proto', ['http']);
  once('x-forwarded-port', [String(PORT)]);
  once('x-forwarded-host', host === '' ? [] : [host]);
  once('x-real-ip', []);
  const node = address.includes(':') ? `"[${address}]"` : shown;
  const hop = `for=${node};proto=http;host="${host}"`;
  deepEqual(valuesOf(sent, 'forwarded'), forwarded ? [[...list('forwarded'), hop].join(', ')] : []);
  ok(!/[\0\r\n"\\]/.test(host), 'a host that ends its quotes');
  if (isTrusted) return;
  // Some servers take these for the same names.
  for (const [name] of sent) ok(!name.includes('_') || !OURS.has(name.replaceAll('_', '-')), name);
}

const OURS = new Set(
  ['for', 'proto', 'host', 'port'].map((part) => `x-forwarded-${part}`).concat('x-real-ip'),
);

export const forwardedTarget: FuzzTarget = {
  name: 'forwarded',
  seeds: SEEDS,
  morsels: MORSELS,
  check: (input) => {
    const bytes = Buffer.from(input, 'latin1');
    for (const variant of VARIANTS) {
      const parser = new HeadParser('request', LIMITS);
      parser.feed(bytes, 0, bytes.length);
      // What is no request gets to no endpoint; authority form is CONNECT's, which is not served.
      if (parser.state !== HeadState.done || parser.head.target === Target.authority) return;
      const { head } = parser;
      const given = fieldsIn(bytes.toString('latin1').replace(/^(?:\r\n)*/, ''));
      const host = hostOf(head.text(head.targetStart, head.targetEnd), given);
      const text = rewritten(head, variant);
      const sent = fieldsIn(text);
      judge(given, host, sent, variant);
      deepEqual(valuesOf(sent, 'host'), [host === '' ? 'localhost' : host]);
      const next = new HeadParser('request', WIDE_LIMITS);
      next.feed(Buffer.from(text, 'latin1'), 0, text.length);
      equal(next.state, HeadState.done, 'what goes on is refused');
    }
  },
};
