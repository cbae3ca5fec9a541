// Parts of requests, responses and ClientHellos, as zod types (see values.ts): fields, paths, hosts, status codes.
import { z } from 'zod';
import { UNRULED_FIELDS } from '../model/field-rules.ts';
import { REDIRECT_VARIABLES } from '../model/route.ts';
import type { StatusRange } from '../model/service.ts';
import {
  ALPN_NAME,
  anyCase,
  anyForm,
  type Form,
  HOST_NAME,
  HOST_PATTERN,
  listForm,
  numberForm,
  outgoingForm,
  SNI_PATTERN,
  STATUS_RANGES,
  textForm,
} from './forms.ts';
import { placeholderProblem, unescapeDollars } from './placeholders.ts';
import { flag, parsed, SWITCH, TOKEN } from './values.ts';

/** A switch, or `keep`. */
export const requestId = z
  .union(
    [flag.transform((isOn) => (isOn ? ('on' as const) : ('off' as const))), z.literal('keep')],
    { error: 'expected true, false or keep' },
  )
  .meta({ form: { enum: [...SWITCH, 'keep'] } });

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

/** The form of `on` and the like: kinds, statuses (502) and classes (5xx), as a list or with commas. */
export const statusOrKind = (kinds: readonly string[]): Form =>
  anyForm(
    {
      type: 'array',
      items: anyForm({ enum: kinds }, numberForm(400, 599), textForm('[45]\\d\\d')),
    },
    listForm([...kinds, '[45]\\d\\d'].join('|')),
    numberForm(400, 599),
  );
