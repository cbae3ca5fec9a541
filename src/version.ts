// The version of the program.
import { readFileSync } from 'node:fs';

/** The version in package.json, which lies beside src/ and dist/. */
export function programVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  // Our own file.
  return (JSON.parse(text) as { version: string }).version;
}
