// Keeps tokens and passwords out of what is printed: problems, and the effective configuration.

const SECRET_KEY = /(^|_)(token|http_auth)$/;

/** A value for people, as JSON; asterisks where it is secret. */
export function showValue(path: readonly PropertyKey[], value: unknown): string {
  return JSON.stringify(redact(value, String(path.findLast((key) => typeof key === 'string'))));
}

/** The same data with asterisks for what is secret: values of secret keys, users in addresses. */
export function redact(value: unknown, key = ''): unknown {
  if (SECRET_KEY.test(key) && value !== '') return '***';
  if (typeof value === 'string') return value.replace(/^([a-z]+:\/\/)[^/@]*@/, '$1***@');
  if (Array.isArray(value)) return value.map((item) => redact(item, key));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, redact(item, name)]),
  );
}
