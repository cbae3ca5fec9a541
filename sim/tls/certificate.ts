// Certificates as tokens: text that says who it is for and who has issued it. Whoever shows one is taken
// to have its key.

export interface Certificate {
  /** The names of a server; of a client none. */
  readonly names: readonly string[];
  /** Of a client: Node's text of a subject, a line for each part. */
  readonly subject: string;
  readonly issuer: string;
  /** Each has another one. */
  readonly serial: number;
  /** Until when it is valid; simulated ms. */
  readonly untilMs: number;
}

export function textOf(certificate: Certificate): string {
  return JSON.stringify(certificate);
}

/** What a chain says; null: it is none. */
export function readCertificate(text: string): Certificate | null {
  const before = known.get(text);
  if (before !== undefined) return before;
  // Those of a few worlds.
  if (known.size === KNOWN_MAX) known.clear();
  const read = parse(text);
  known.set(text, read);
  return read;
}

/** A few are shown again and again: at each handshake, and with each exchange that is told of them. */
const known = new Map<string, Certificate | null>();
const KNOWN_MAX = 200;

function parse(text: string): Certificate | null {
  try {
    return JSON.parse(text) as Certificate;
  } catch {
    return null;
  }
}

/** Why a certificate is not to be trusted, by OpenSSL's name; ''. */
export function problemWith(
  { issuer, untilMs }: Certificate,
  { authority, nowMs }: { readonly authority: string; readonly nowMs: number },
): string {
  if (issuer !== authority) return 'SELF_SIGNED_CERT_IN_CHAIN';
  return nowMs > untilMs ? 'CERT_HAS_EXPIRED' : '';
}

/** Whether it is for this name (RFC 6125 section 6.4: a star stands for one label). */
export function isFor({ names }: Certificate, name: string): boolean {
  const rest = name.slice(name.indexOf('.') + 1);
  return names.some((one) => one === name || (one.startsWith('*.') && one.slice(2) === rest));
}
