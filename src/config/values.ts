// The units of configuration, as zod types: durations, sizes, shares, addresses, status ranges. Each
// takes what people write and yields what the model holds, and says what was expected otherwise.
import { isIP } from 'node:net';
import { z } from 'zod';
import { parseBytes } from '../base/bytes.ts';
import { closest } from '../base/closest.ts';
import { formatDuration, parseDuration } from '../base/duration.ts';
import { parseEngineAddress } from '../model/engine-address.ts';
import { UNRULED_FIELDS } from '../model/field-rules.ts';
import {
  type ListenAddress,
  type ListenRule,
  parseListen,
  parseListenRule,
} from '../model/listener.ts';
import { isZnodeName } from '../model/registries/zookeeper.ts';
import { REDIRECT_VARIABLES } from '../model/route.ts';
import type { HashKey, Hedge, StatusRange } from '../model/service.ts';
import { policyMeant } from './foreign-keys.ts';
import {
  AGENT,
  ALPN_NAME,
  anyCase,
  anyForm,
  DURATION,
  ENGINE,
  ENSEMBLE_MEMBER,
  type Form,
  HOST_NAME,
  HOST_PATTERN,
  HOST_PORT,
  LISTEN,
  LISTEN_RULE,
  listForm,
  NETWORK,
  numberForm,
  outgoingForm,
  READER,
  SERVED_NAME,
  SHARE,
  SIZE,
  SNI_PATTERN,
  SOME_DURATION,
  STATUS_RANGES,
  textForm,
  wholePattern,
} from './forms.ts';
import { placeholderProblem, unescapeDollars } from './placeholders.ts';

interface Parsing<T> {
  /** Null for what it does not know. */
  readonly parse: (text: string) => T | null;
  readonly expected: string;
  /** The same for editors. */
  readonly form: Form;
  /** What a text that is none may have been meant to be. */
  readonly meant?: (text: string) => string | null;
  /** What is wrong with a text that is none, where more can be said. */
  readonly problem?: (text: string) => string | null;
}

/** Makes a type of text (or number) by a parser. */
export function parsed<T>(parsing: Parsing<T>) {
  const { parse, expected, form, meant = () => null, problem = () => null } = parsing;
  const error = `expected ${expected}`;
  return z
    .union([z.string(), z.number()], { error })
    .transform((value, context): T => {
      const result = parse(String(value));
      if (result !== null) return result;
      const hint = meant(String(value));
      const why = problem(String(value));
      const told = why === null ? error : `${why}; ${error}`;
      const message = hint === null ? told : `${told}; did you mean ${hint}?`;
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    })
    .meta({ form });
}

/** The longest that a timer of Node can wait. */
const DURATION_MS_MAX = 2 ** 31 - 1;
const A_DURATION = 'a duration such as 500ms, 10s or 1m30s';

/** A duration of `minMs` at least. */
export function duration(minMs = 0, maxMs = DURATION_MS_MAX) {
  const bounds = [
    minMs > 0 ? `${formatDuration(minMs)} at least` : '',
    maxMs < DURATION_MS_MAX ? `${formatDuration(maxMs)} at most` : '',
  ];
  return parsed({
    parse: (text) => {
      const ms = parseDuration(text);
      return ms !== null && ms >= minMs && ms <= maxMs ? ms : null;
    },
    expected: [A_DURATION, ...bounds].filter((part) => part !== '').join(', '),
    form: minMs > 0 ? textForm(SOME_DURATION) : anyForm({ enum: [0, '0'] }, textForm(DURATION)),
  });
}

/** What becomes of sessions: `keep` (null), `close` (0), or a duration in ms. */
export const fate = parsed<{ readonly ms: number | null }>({
  parse: (text) => {
    if (text === 'keep') return { ms: null };
    const ms = text === 'close' ? 0 : parseDuration(text);
    return ms !== null && ms <= DURATION_MS_MAX ? { ms } : null;
  },
  expected: `keep, close or ${A_DURATION}`,
  form: anyForm({ enum: ['keep', 'close', 0, '0'] }, textForm(DURATION)),
}).transform(({ ms }) => ms);

/** A whole number in bounds, also as text: tags and variables are text. */
export function count(min: number, max: number) {
  const error = `expected a whole number from ${min} to ${max}`;
  const digits = z.string().transform((text, context) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    context.addIssue({ code: 'custom', message: error });
    return z.NEVER;
  });
  const form = anyForm(numberForm(min, max), textForm(wholePattern(min, max)));
  const number = z.number().int({ error }).min(min, { error }).max(max, { error });
  return z.union([number, digits], { error }).meta({ form });
}

/** A switch, also as text. */
export const flag = z.union(
  [z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')],
  { error: 'expected true or false' },
);

const SWITCH = [true, false, 'true', 'false'];

/** A switch, or `keep`. */
export const requestId = z
  .union(
    [flag.transform((isOn) => (isOn ? ('on' as const) : ('off' as const))), z.literal('keep')],
    { error: 'expected true, false or keep' },
  )
  .meta({ form: { enum: [...SWITCH, 'keep'] } });

/** A switch whose default depends on other settings. */
export const autoFlag = z
  .union([z.literal('auto'), flag], { error: 'expected auto, true or false' })
  .meta({ form: { enum: [...SWITCH, 'auto'] } });

/** One of these numbers. */
export function oneOf<T extends number>(values: readonly T[]) {
  return parsed<T>({
    parse: (text) => values.find((value) => String(value) === text) ?? null,
    expected: orList(values.map(String)),
    form: { enum: [...values, ...values.map(String)] },
  });
}

/**
 * A list whose elements may be written as one text with commas, or a single one. `pattern` is that of
 * an element, for editors.
 */
export function listOf<T extends z.ZodType>(element: T, pattern: string) {
  // Any text may be asked of the elements: they say themselves which they take.
  const elements = z.array(element) as unknown as z.ZodType<z.output<T>[], string[]>;
  const split = z.string().transform((text) => text.split(',').map((part) => part.trim()));
  const text = split.pipe(elements).meta({ form: listForm(pattern) });
  return z.union([z.array(element), text]);
}

/** `a, b or c` */
export function orList(words: readonly string[]): string {
  const last = words.at(-1) ?? '';
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} or ${last}`;
}

/** `off`, `p95` (0 ms), or a duration. */
export const hedge = parsed<{ readonly hedge: Hedge | null }>({
  parse: (text) => {
    if (text === 'off') return { hedge: null };
    if (text === 'p95') return { hedge: { afterMs: 0 } };
    const afterMs = parseDuration(text);
    return afterMs !== null && afterMs > 0 && afterMs <= DURATION_MS_MAX
      ? { hedge: { afterMs } }
      : null;
  },
  expected: `off, p95 or ${A_DURATION}`,
  form: anyForm({ enum: ['off', 'p95'] }, textForm(SOME_DURATION)),
}).transform((value) => value.hedge);

export const size = parsed({
  parse: parseBytes,
  expected: 'a size such as 512, 32KiB or 2MB',
  form: anyForm(numberForm(0, Number.MAX_SAFE_INTEGER), textForm(SIZE)),
});

export const listenAddress = parsed<ListenAddress>({
  parse: parseListen,
  expected: 'a port, address:port or the path of a unix socket',
  form: anyForm(numberForm(1, 65535), textForm(LISTEN)),
});

export const listenRule = parsed<ListenRule>({
  parse: parseListenRule,
  expected:
    'a port, a range such as 1024-65535, either after an address or network and a colon, or a folder for unix sockets such as /run/upriver/',
  form: anyForm(numberForm(1, 65535), textForm(LISTEN_RULE)),
});

/** A share of one: 20% or 0.2. */
export const share = parsed({
  parse: (text) => {
    const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(text);
    if (match === null) return null;
    const value = Number(match[1]) / (match[2] === '%' ? 100 : 1);
    return value <= 1 ? value : null;
  },
  expected: 'a share such as 20% or 0.2',
  form: anyForm(numberForm(0, 1, 'number'), textForm(SHARE)),
});

/** `200-399`, `200`, or several by commas. */
export const statusRanges = parsed<readonly StatusRange[]>({
  parse: parseRanges,
  expected: "status codes such as 200, 200-399 or '200,204'",
  form: anyForm(numberForm(100, 599), textForm(STATUS_RANGES)),
});

function parseRanges(text: string): readonly StatusRange[] | null {
  const ranges = text.split(',').map((part) => {
    const match = /^\s*([1-5]\d\d)(?:-([1-5]\d\d))?\s*$/.exec(part);
    return match === null ? null : { from: Number(match[1]), to: Number(match[2] ?? match[1]) };
  });
  return ranges.every((range) => range !== null && range.from <= range.to)
    ? (ranges as StatusRange[])
    : null;
}

export interface ParsedBalance {
  readonly policy: 'least-conn' | 'round-robin' | 'random' | 'p2c' | 'ewma' | 'hash';
  readonly hash: HashKey | null;
}

const PLAIN_POLICIES = ['least-conn', 'round-robin', 'random', 'p2c', 'ewma'] as const;

const BALANCE =
  'least-conn, round-robin, random, p2c, ewma, hash(source), hash(header:NAME) or hash(cookie:NAME)';

/** Also what other programs call a policy. */
const balanceMeant = (text: string) => policyMeant(text) ?? closest(text, PLAIN_POLICIES);

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";

export const balance = parsed<ParsedBalance>({
  parse: parseBalance,
  expected: BALANCE,
  form: anyForm(
    { enum: [...PLAIN_POLICIES, 'hash(source)'] },
    textForm(`hash\\((?:header|cookie):${TOKEN}\\)`),
  ),
  meant: balanceMeant,
});

function parseBalance(text: string): ParsedBalance | null {
  const plain = PLAIN_POLICIES.find((policy) => policy === text);
  if (plain !== undefined) return { policy: plain, hash: null };
  const match = /^hash\((?:(source)|(header|cookie):([!#$%&'*+.^_`|~0-9A-Za-z-]+))\)$/.exec(text);
  if (match === null) return null;
  if (match[1] !== undefined) return { policy: 'hash', hash: { on: 'source', name: '' } };
  const on = match[2] === 'header' ? 'header' : 'cookie';
  return {
    policy: 'hash',
    hash: { on, name: on === 'header' ? match[3]!.toLowerCase() : match[3]! },
  };
}

/** `host:port`, an IPv6 host in brackets. */
export const hostPort = parsed({
  parse: parseHostPort,
  expected: 'host:port',
  form: textForm(HOST_PORT),
});

function parseHostPort(text: string): { address: string; port: number } | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65535) return null;
  return { address: match[1] ?? match[2]!, port };
}

const ZOOKEEPER_PORT = 2181;

/** A member of ZooKeeper: `host`, `host:port`, and at the end of a connect string `/chroot`. */
export const ensembleMember = parsed({
  parse: (text) => {
    const [, member = '', port = String(ZOOKEEPER_PORT), chroot = ''] =
      /^(\[[^\]]*\]|[^\s:[\]/,]+)(?::(\d{1,5}))?(\/[^\s,]*)?$/.exec(text) ?? [];
    const at = parseHostPort(`${member}:${port}`);
    const names = chroot.split('/').filter((name) => name !== '');
    return at === null || !names.every(isZnodeName) ? null : { ...at, chroot: names.join('/') };
  },
  expected: 'host:port, the last one with a path where there is a chroot',
  form: textForm(ENSEMBLE_MEMBER),
});

/** A fixed endpoint: `host:port`, or `host:port weight=5`. */
export const staticEndpoint = parsed({
  parse: (text) => {
    const match = /^(\S+)(?: +weight=(\d{1,6}))?$/.exec(text);
    const at = match === null ? null : parseHostPort(match[1]!);
    return at === null ? null : { ...at, weight: Number(match![2] ?? 1) };
  },
  expected: 'host:port or host:port weight=N',
  form: textForm(`${HOST_PORT}(?: +weight=\\d{1,6})?`),
});

/** A CIDR network or a single address. */
export const network = parsed({
  parse: (text) => {
    const [address = '', bits, ...others] = text.split('/');
    const bitsMax = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
    const isBits = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= bitsMax);
    return bitsMax > 0 && isBits && others.length === 0 ? text : null;
  },
  expected: 'an address or a network such as 10.0.0.0/8',
  form: textForm(NETWORK),
});

/** Who may read the stats port. */
export const reader = parsed({
  parse: (text) =>
    ['any', 'loopback', 'token'].includes(text) || network.safeParse(text).success ? text : null,
  expected: 'any, loopback, token, an address or a network such as 10.0.0.0/8',
  form: textForm(READER),
});

/** A name that the stats port is served under, or `*.` and a domain; lower case. */
export const servedName = z
  .string()
  .regex(
    new RegExp(`^(?:${SERVED_NAME})$`),
    'expected a host name such as lb.example.com or *.example.com',
  )
  .meta({ form: textForm(SERVED_NAME) })
  .transform((text) => text.toLowerCase());

/** A secret that fits into an Authorization field (RFC 6750, section 2.1, and other printed ASCII). */
export const token = z.string().regex(/^[\x21-\x7e]*$/, {
  error: 'expected printed ASCII characters without white space: others do not fit into a field',
});

/** Where an agent answers: `host:port`, a URL without a path, or a unix socket. */
export const agentAddress = parsed({
  parse: parseAgent,
  expected: 'host:port, http://host:port, https://host:port or unix:///path',
  form: textForm(AGENT),
});

/** The path of a file with target groups: `*` stands in its last part alone. */
export const targetPath = z
  .string()
  .regex(/^(?:[^*\0]*\/)?[^/\0]+$/, 'expected the path of a file, whose last part alone may have *')
  .meta({ form: textForm('(?:[^*\\0]*/)?[^/\\0]+') });

/** An http or https URL without user and fragment. */
export const targetUrl = parsed<{ readonly url: string }>({
  parse: (text) => {
    const url = /^https?:\/\//.test(text) ? URL.parse(text) : null;
    if (url === null || url.username !== '' || url.password !== '' || url.hash !== '') return null;
    return { url: url.href };
  },
  expected: 'http://HOST/PATH or https://HOST/PATH, without user and fragment',
  form: textForm('https?://[^@#]+'),
}).transform(({ url }) => url);

/** Where a container engine answers, as DOCKER_HOST says it. */
export const engineAddress = parsed({
  parse: (text) => {
    try {
      parseEngineAddress(text);
      return text;
    } catch {
      return null;
    }
  },
  expected: 'unix:///path, a path, tcp://host:port, http://host:port or https://host:port',
  form: textForm(ENGINE),
});

function parseAgent(text: string): string | null {
  if (text.startsWith('unix://')) return text.length > 'unix://'.length ? text : null;
  const isUrl = /^https?:\/\//.test(text);
  if (!isUrl && !/^[^/@?#]+:\d+$/.test(text)) return null;
  const url = URL.parse(isUrl ? text : `http://${text}`);
  return url !== null && url.pathname === '/' && url.search === '' && url.hash === ''
    ? text.replace(/\/$/, '')
    : null;
}

/** A text that goes out: of this pattern, without variables of other programs, `known` ones apart. */
function outgoing(pattern: string, expected: string, known: readonly string[] = []) {
  const whole = new RegExp(`^(?:${pattern})$`);
  return z
    .string()
    .superRefine((text, context) => {
      const problem = placeholderProblem(text, known);
      const message = problem === '' && !whole.test(text) ? `expected ${expected}` : problem;
      if (message !== '') context.addIssue({ code: 'custom', message });
    })
    .meta({ form: outgoingForm(pattern, known) });
}

export const fieldValue = outgoing('[\\t\\x20-\\x7e\\x80-\\xff]*', 'a field value').transform(
  unescapeDollars,
);

export const pathPrefix = outgoing(
  '(?:/[\\x21\\x22\\x24-\\x3e\\x40-\\x7e]*)?',
  'a path that starts with /',
).transform(unescapeDollars);

/** A host, and its port where it is not the usual one. */
export const hostName = outgoing(HOST_NAME, 'a host or host:port');

const ROUTE_HOST = new RegExp(`^(?:${HOST_PATTERN})$`);

/** What a route's host may be; `*` is any, as the empty text. */
export const hostPattern = z
  .string()
  .regex(ROUTE_HOST, 'expected a host without scheme and port, or *.example.com')
  .meta({ form: textForm(HOST_PATTERN) })
  .transform((text) => {
    const host = text.toLowerCase().replace(/\.$/, '');
    return host === '*' ? '' : host;
  });

/** A name in a ClientHello, `*.` and a domain, or `*` for any name and none; lower case. */
export const sniPattern = z
  .string()
  .regex(new RegExp(`^(?:${SNI_PATTERN})$`), 'expected a host name, *.example.com or *')
  .meta({ form: textForm(SNI_PATTERN) })
  .transform((text) => text.toLowerCase());

/** A protocol as ALPN names it. */
export const alpnName = z
  .string()
  .regex(new RegExp(`^(?:${ALPN_NAME})$`), 'expected a protocol such as h2 or http/1.1')
  .meta({ form: textForm(ALPN_NAME) });

/** The Location of a redirect, which may have variables. */
export const location = outgoing(
  '(?:/|[A-Za-z][0-9A-Za-z+.-]*://|\\$(?:path|request_uri)(?!\\w))[\\x21-\\x7e]*',
  'a URL such as https://$host/, or a path that starts with /',
  REDIRECT_VARIABLES,
);

/** Name of a field that rules may touch: none that frames the message. */
export const fieldName = z
  .string()
  .regex(new RegExp(`^${TOKEN}$`), 'expected a field name')
  .refine((name) => !UNRULED_FIELDS.has(name.toLowerCase()), {
    error: 'expected a field that does not frame the message or belong to the connection',
  })
  .meta({
    form: textForm(`(?!(?:${[...UNRULED_FIELDS].map(anyCase).join('|')})$)${TOKEN}`),
  });

/** A path as in a request; the query of a check's path included. */
export const absolutePath = z
  .string()
  .startsWith('/')
  .meta({ form: textForm('/[\\s\\S]*') });

export const statusOrKind = (kinds: readonly string[]): Form =>
  anyForm(
    {
      type: 'array',
      items: anyForm({ enum: kinds }, numberForm(400, 599), textForm('[45]\\d\\d')),
    },
    listForm([...kinds, '[45]\\d\\d'].join('|')),
    numberForm(400, 599),
  );
