// Keeps tokens and passwords out of what is printed: problems, and the effective configuration.
import { hideKeyLines, keyLinesOf } from '../base/private-keys.ts';
import { hideCredentials, hideInQuery } from '../base/safe-text.ts';
import { BOUNDS } from '../model/bounds.ts';
import type { Environment } from './environment.ts';

const SECRET_KEY = /(^|_)(token|http_auth|password)$/;
/** Fields of a message that carry credentials, among `request_headers` and the like. */
const SECRET_FIELD = /auth|token|secret|passw|credential|cookie|api-?key/i;
const FIELDS_KEY = /^((request|response)_)?headers$/;
/** Variables whose values are secrets, by the names that people give them. */
const SECRET_VARIABLE = /TOKEN|SECRET|PASS|AUTH|CREDENTIAL|PRIVATE|API_?KEY|_KEY$/i;
/** What is shorter is found in texts where it is no secret. */
const SECRET_LENGTH_MIN = 4;

/** What a text may show of secrets that its sources hold: asterisks in their place. */
export type Hiding = (text: string) => string;

/** Where the sources are not at hand: what is known by itself for a credential. */
export const hideObvious: Hiding = (text) => hideKeyLines(hideCredentials(text), new Set());

/**
 * Hides what is secret in the sources of a configuration: values of variables that are secrets by their name, and
 * private keys, also in pieces, as a parser leaves them of a block that stands where it can't.
 */
export function hidingOf(texts: readonly string[], env: Environment): Hiding {
  const values = Object.values(env).filter((value) => value !== undefined);
  const lines = new Set([...texts, ...values].flatMap(keyLinesOf));
  return (text) => hideKeyLines(hideCredentials(hideVariables(text, env)), lines);
}

/** A value as it is shown, as JSON and no longer than is of use; asterisks where it is secret. */
export function showValue(path: readonly PropertyKey[], value: unknown, hide: Hiding): string {
  const names = path.filter((key) => typeof key === 'string');
  const isField = FIELDS_KEY.test(names.at(-2) ?? '') && SECRET_FIELD.test(names.at(-1) ?? '');
  const text = hide(JSON.stringify(isField ? '***' : redact(value, names.at(-1))));
  const { max } = BOUNDS.configValue;
  return text.length > max ? `${text.slice(0, max)}… (${text.length} characters)` : text;
}

/** The same data with asterisks for what is secret: values of secret keys, users in addresses. */
export function redact(value: unknown, key = ''): unknown {
  if (SECRET_KEY.test(key) && value !== '') return '***';
  if (typeof value === 'string') return hideInQuery(hideCredentials(value));
  if (Array.isArray(value)) return value.map((item) => redact(item, key));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      FIELDS_KEY.test(key) && SECRET_FIELD.test(name) && item !== '' ? '***' : redact(item, name),
    ]),
  );
}

/** The text with asterisks for the values of variables that hold secrets by their name. */
export function hideVariables(text: string, env: Environment): string {
  let hidden = text;
  for (const [name, value = ''] of Object.entries(env)) {
    if (value.length < SECRET_LENGTH_MIN || !SECRET_VARIABLE.test(name)) continue;
    hidden = hidden.replaceAll(value, '***');
    // As it stands within quotes.
    hidden = hidden.replaceAll(JSON.stringify(value).slice(1, -1), '***');
  }
  return hidden;
}
