// Asks a running instance over its stats port.
import { messageOf } from '../base/coded-error.ts';
import { safeData, safeLine } from '../base/safe-text.ts';
import type { ParsedArguments } from './command.ts';

const TIMEOUT_MS = 5000;
const DEFAULT_ADDRESS = '127.0.0.1:1936';

/** An answer, or why there is none, for people. */
export type Asked<T> = { readonly body: T } | { readonly problem: string };

/** The base URL of the instance that the flags and the environment name; null where it is none. */
export function statsUrl(flags: ParsedArguments['flags']): string | null {
  const given = typeof flags.stats === 'string' ? flags.stats : process.env.UPRIVER_STATS;
  const address = (given || DEFAULT_ADDRESS).replace(/^http:\/\/|\/$/g, '');
  // A listen address without a host means every address of the machine: this one among them.
  const port = /^(?:(?:0\.0\.0\.0|\*|\[::\])?:)?(\d+)$/.exec(address)?.[1];
  const url = URL.parse(`http://${port === undefined ? address : `127.0.0.1:${port}`}`);
  return url === null || url.port === '' || url.pathname !== '/' ? null : url.origin;
}

/** What is said where statsUrl finds none. */
export function noStatsUrl(flags: ParsedArguments['flags']): string {
  const [where, value] =
    typeof flags.stats === 'string'
      ? ['--stats', flags.stats]
      : ['UPRIVER_STATS', process.env.UPRIVER_STATS ?? ''];
  return `${where}: '${value}': expected the port or address:port of a running instance`;
}

/**
 * Asks `path`; T is the shape that docs/reference/admin-api.md gives it. All texts of the answer are
 * made safe for a terminal here: what registries and endpoints say is in it.
 */
export async function ask<T>(
  given: ParsedArguments,
  path: string,
  method: 'GET' | 'POST' = 'GET',
): Promise<Asked<T>> {
  const base = statsUrl(given.flags);
  if (base === null) return { problem: noStatsUrl(given.flags) };
  const { token } = given.flags;
  const { UPRIVER_ADMIN_TOKEN, UPRIVER_READ_TOKEN } = process.env;
  const known = UPRIVER_ADMIN_TOKEN || (method === 'GET' ? UPRIVER_READ_TOKEN : '');
  const secret = typeof token === 'string' ? token : known;
  try {
    const response = await fetch(base + path, {
      method,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: secret ? { authorization: `Bearer ${secret}` } : {},
    });
    const text = await response.text();
    if (response.ok) return { body: safeData(text) as T };
    return { problem: errorIn(text) || `${path} answered ${response.status}` };
  } catch (error) {
    const cause = error instanceof Error && error.cause ? messageOf(error.cause) : messageOf(error);
    return { problem: safeLine(`no answer from ${base}: ${cause}`) };
  }
}

function errorIn(text: string): string {
  try {
    // The API's errors: {"error": "..."}.
    return (safeData(text) as { error?: string }).error ?? '';
  } catch {
    return '';
  }
}

/** Rows as aligned columns; the first row is the head. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
