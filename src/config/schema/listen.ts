// Where a service or router listens, and what is spoken there: an address as text, a mapping, or a
// list of both. All of them are read as a list of mappings.
import { z } from 'zod';
import type {
  CertificateSource,
  Hsts,
  ListenAddress,
  ListenSpec,
  ListenTls,
} from '../../model/listener.ts';
import type { Protocol } from '../../model/service.ts';
import { listenAddress, network } from '../address-values.ts';
import { anyForm, type Form, LISTEN, NETWORK, numberForm, textForm } from '../forms.ts';
import { isTree } from '../tree.ts';
import { duration, filePath, flag, listOf } from '../values.ts';
import { acmeMapping, buildAcme } from './acme.ts';

const LISTENER =
  'a port, address:port, the path of a unix socket, or a mapping with address, or a list of them';

const HTTPS_PORT = 443;
const YEARS_MS_MAX = 20 * 366 * 86_400_000;

const certificate = z.strictObject(
  {
    cert_file: filePath
      .default('')
      .meta({ description: 'Certificate chain (PEM), its own first.' }),
    key_file: filePath.default('').meta({ description: 'Its private key (PEM).' }),
    dir: z.string().default('').meta({
      description:
        'A folder with certificates instead: NAME.pem with both, or NAME.crt and NAME.key; watched.',
    }),
    acme: acmeMapping.optional().meta({
      description: 'Ordered from a certificate authority by ACME instead, and renewed.',
    }),
  },
  { error: mappingExpected('a mapping with cert_file and key_file, with dir, or with acme') },
);

const VERSIONS = ['1.2', '1.3'] as const;

/** Without quotes YAML reads a number. */
const tlsVersion = z
  .union(
    [z.enum(VERSIONS), z.literal([1.2, 1.3]).transform((value) => VERSIONS[value === 1.2 ? 0 : 1])],
    {
      error: 'expected 1.2 or 1.3',
    },
  )
  .meta({ form: { enum: [...VERSIONS, ...VERSIONS.map(Number)] } });

/** The keys of `tls`, of a listener or for all of them. */
const listenTlsShape = {
  certificates: z.array(certificate).optional().meta({
    description: 'Chosen by the name that the client asks for; the first is the default.',
  }),
  min_version: tlsVersion
    .optional()
    .meta({ 'x-default': '1.2', description: 'Minimum version of TLS.' }),
  client_auth: z.enum(['off', 'request', 'require']).optional().meta({
    'x-default': 'off',
    description: 'Whether clients are asked for a certificate, and refused without one.',
  }),
  client_ca_file: filePath
    .optional()
    .meta({ description: 'CA certificates (PEM) from which client certificates must come.' }),
};

export const tlsMapping = z.strictObject(listenTlsShape);
export type CertificateInput = z.output<typeof certificate>;
const TLS_WORDS = [true, false, 'true', 'false', 'pass'];

const tlsOfListener = z
  .union([flag, z.literal('pass'), tlsMapping], {
    error: unlessMapping('true, false, pass or a mapping with certificates'),
  })
  .meta({ form: anyForm({ enum: TLS_WORDS }, formOf(tlsMapping)) });

const hstsMapping = z.strictObject({
  max_age: duration(0, YEARS_MS_MAX)
    .prefault('365d')
    .meta({ description: 'How long browsers remember it.' }),
  include_subdomains: flag.prefault(false).meta({ description: 'Also for all subdomains.' }),
  preload: flag.prefault(false).meta({ description: 'May be built into browsers.' }),
});

const hsts = z
  .union(
    [
      z.literal('off').transform(() => null),
      duration(0, YEARS_MS_MAX).transform((max_age) => {
        return { max_age, include_subdomains: false, preload: false };
      }),
      hstsMapping,
    ],
    { error: unlessMapping('off, a duration such as 365d, or a mapping with max_age') },
  )
  .meta({ form: anyForm({ const: 'off' }, durationForm(), formOf(hstsMapping)) });

const listenMapping = z.strictObject(
  {
    address: listenAddress.meta({
      description: 'A port, address:port or the path of a unix socket.',
    }),
    tls: tlsOfListener.prefault(false).meta({
      description:
        'true terminates TLS with the settings of tls, a mapping with its own besides; pass routes by the ClientHello without terminating.',
    }),
    http2: flag.prefault(false).meta({ description: 'Offer HTTP/2 as well.' }),
    accept_proxy: listOf(network, NETWORK)
      .prefault([])
      .meta({ description: 'Networks whose connections begin with a PROXY protocol header.' }),
    redirect_https: flag
      .prefault(false)
      .meta({ description: 'Answer every request with a redirect to the same URL with https.' }),
    hsts: hsts.prefault('off').meta({
      description: 'Strict-Transport-Security on responses over TLS: off, a duration or a mapping.',
    }),
  },
  { error: mappingExpected(LISTENER) },
);

/** Keys of a listener, apart from its address. */
export const LISTEN_KEYS: readonly string[] = Object.keys(listenMapping.shape).filter(
  (key) => key !== 'address',
);

const addressForm = anyForm(numberForm(1, 65535), textForm(LISTEN), formOf(listenMapping));

/** One listener or several, however they are written. */
export const listeners = z
  .preprocess(asMappings, z.array(listenMapping, { error: `expected ${LISTENER}` }))
  .meta({ form: { ...anyForm(...membersOf(addressForm), { type: 'array', items: addressForm }) } });

const STATS_LISTENER =
  'a port, address:port, the path of a unix socket, a mapping with address and tls, or off';

/** Keys that listeners have and the stats port does not, with why. */
const NOT_OF_STATS: Readonly<Record<string, string>> = {
  http2: 'the stats port speaks HTTP/1.1 alone',
  accept_proxy: 'the stats port takes no PROXY protocol header',
  redirect_https: 'the stats port has one address, and redirects nowhere',
  hsts: 'the stats port sends no Strict-Transport-Security',
};

const statsMapping = z.strictObject(
  {
    address: listenAddress.prefault(':1936').meta({
      description: 'A port, address:port or the path of a unix socket.',
    }),
    tls: z
      .union([flag, tlsMapping], {
        error: unlessMapping('true, false or a mapping with certificates: pass is for routers'),
      })
      .meta({ form: anyForm({ enum: [true, false, 'true', 'false'] }, formOf(tlsMapping)) })
      .prefault(false)
      .meta({
        description: 'true: HTTPS with the settings of tls; a mapping: with its own besides.',
      }),
  },
  { error: mappingExpected(STATS_LISTENER) },
);

/** Where the stats port listens; null where it is off. */
export const statsListen = z.preprocess(asStatsMapping, statsMapping.nullable()).meta({
  form: anyForm(numberForm(1, 65535), textForm(LISTEN), { const: 'off' }, formOf(statsMapping)),
});

/** A text or number is the address, and off none at all; of other keys is said why they are none. */
function asStatsMapping(value: unknown, context: z.RefinementCtx): unknown {
  if (value === 'off') return null;
  if (isAddress(value)) return { address: value };
  // That nothing is said does not turn it off: false is refused as any other value.
  if (!isTree(value)) return value ?? false;
  const rest = Object.entries(value).filter(([key, input]) => {
    const why = Object.hasOwn(NOT_OF_STATS, key) ? NOT_OF_STATS[key] : undefined;
    if (why === undefined) return true;
    const message = `${why}: expected address and tls alone`;
    context.addIssue({ code: 'custom', path: [key], input, message });
    return false;
  });
  return Object.fromEntries(rest);
}

export type ListenInput = z.output<typeof listenMapping>;
export type TlsInput = z.output<typeof tlsMapping>;

/** Listeners of one service or router; `shared`: the section `tls`. */
export function buildListen(
  inputs: readonly ListenInput[],
  shared: TlsInput | undefined,
  protocol: Protocol = 'http',
): ListenSpec[] {
  const https = inputs.flatMap(({ tls, address }) =>
    tls !== false && address.kind === 'tcp' ? [address.port] : [],
  );
  const port = https.includes(HTTPS_PORT) ? HTTPS_PORT : (https[0] ?? HTTPS_PORT);
  return inputs.map(({ address, tls, hsts, ...input }) => ({
    address: addressFor(protocol, address),
    tls: tls === false || tls === 'pass' ? tls || null : buildTls(tls === true ? {} : tls, shared),
    http2: input.http2,
    acceptProxy: input.accept_proxy,
    redirectHttps: input.redirect_https ? port : 0,
    hsts: hsts === null ? null : buildHsts(hsts),
  }));
}

/** The address as a service of this protocol listens on it: text does not say whether it is UDP. */
export function addressFor(protocol: Protocol | undefined, address: ListenAddress): ListenAddress {
  return protocol === 'udp' && address.kind === 'tcp' ? { ...address, kind: 'udp' } : address;
}

function buildHsts(hsts: z.output<typeof hstsMapping>): Hsts {
  return {
    maxAgeSeconds: Math.floor(hsts.max_age / 1000),
    includeSubdomains: hsts.include_subdomains,
    preload: hsts.preload,
  };
}

/** What a listener says of its own goes before what is said for all. */
export function buildTls(own: TlsInput, shared: TlsInput = {}): ListenTls {
  return {
    certificates: certificatesOf(own, shared).map(buildSource),
    minVersion: own.min_version ?? shared.min_version ?? '1.2',
    clientAuth: own.client_auth ?? shared.client_auth ?? 'off',
    clientCaFile: own.client_ca_file ?? shared.client_ca_file ?? '',
  };
}

function buildSource({ cert_file, key_file, dir, acme }: CertificateInput): CertificateSource {
  if (acme !== undefined) return { kind: 'acme', acme: buildAcme(acme) };
  if (dir !== '') return { kind: 'folder', dir };
  return { kind: 'pair', certFile: cert_file, keyFile: key_file };
}

/** A listener's own certificates, or those that all share. */
export function certificatesOf(own: TlsInput, shared: TlsInput = {}): readonly CertificateInput[] {
  return own.certificates ?? shared.certificates ?? [];
}

/** A text or number is an address; what is no list is the only element. */
function asMappings(value: unknown): unknown {
  if (value === undefined || value === null) return value;
  const items: readonly unknown[] = Array.isArray(value) ? value : [value];
  return items.map((item) => (isAddress(item) ? { address: item } : item));
}

function isAddress(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number';
}

function mappingExpected(expected: string) {
  return ({ code }: { code?: string | undefined }) =>
    code === 'invalid_type' ? `expected ${expected}` : undefined;
}

/** Of a mapping, what is wrong within it is said. */
function unlessMapping(expected: string) {
  return ({ input }: { input?: unknown }) => (isTree(input) ? undefined : `expected ${expected}`);
}

function formOf(schema: z.ZodType): Form {
  const { $schema: _, ...form } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return form;
}

function durationForm(): Form {
  // The form of the type is what is wanted, not its place in the schema.
  return (duration(0, YEARS_MS_MAX).meta() as { form: Form }).form;
}

function membersOf(form: Form): Form[] {
  return form.anyOf as Form[];
}
