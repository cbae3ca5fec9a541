// Variables in texts that go out: a redirect's location has some; header values, prefixes and hosts
// have none. What looks like a variable of another program and would be sent as it is, is an error.

const DOLLAR = 'for a dollar sign write $$$$ in the file';

/**
 * `$name`, `${...}`; HAProxy's `%[...]`; Apache's `%{...}`; Envoy's `%NAME(...)%`; Caddy's and
 * Traefik's `{name}`. The whole of `$$` is an escaped dollar sign.
 */
const PATTERN =
  /\$\$|\$\w+|\$\{[^}]*\}?|%\[[^\]]*\]?|%\{[^}]*\}?|%[A-Z_]+\([^)]*\)%?|\{[a-z][\w.]*\}/g;

/** What is wrong with the variables in `text`, of which `known` are replaced; '' when nothing is. */
export function placeholderProblem(text: string, known: readonly string[]): string {
  const found = text.match(PATTERN) ?? [];
  const wrong = found.find((one) => {
    const name = /^\$([A-Za-z_]\w*)$/.exec(one)?.[1];
    // $5 is no variable anywhere.
    if (/^\$(\$|\d)/.test(one)) return false;
    return name === undefined || !known.includes(name);
  });
  if (wrong === undefined) return '';
  const names = known.map((name) => `$${name}`).join(', ');
  return known.length === 0
    ? `expected no variable, and ${wrong} would be sent as it is; ${DOLLAR}`
    : `unknown variable ${wrong}; known are ${names}; ${DOLLAR}`;
}

/** The text with `$$` read as one dollar sign. */
export function unescapeDollars(text: string): string {
  return text.replaceAll('$$', '$');
}
