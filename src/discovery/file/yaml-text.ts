// YAML as JSON, which can be read in turns.
import { isScalar, LineCounter, parseDocument, visit } from 'yaml';
import { messageOf } from '../../base/coded-error.ts';
import { hideKeyLines, keyLinesOf } from '../../base/private-keys.ts';
import { BOUNDS, formatBound } from '../../model/bounds.ts';

export type YamlAnswer = { readonly json: string } | { readonly problem: string };

const ALIASES_MAX = 100;
/** Deeper than any group. */
const DEPTH_MAX = 32;
const SHAPE = 'expected keys that are texts, and lists and maps that are nested 32 deep at most';

/** What is wrong with the text is a problem in the answer; its time is for the caller to bound. */
export function readYaml(text: string): YamlAnswer {
  try {
    // Of itself the library writes to stderr, and quotes the line, which may be one of a private key.
    const lineCounter = new LineCounter();
    const options = { logLevel: 'error', prettyErrors: false, lineCounter } as const;
    const document = parseDocument(text, options);
    const [error] = document.errors;
    if (error !== undefined) {
      const { line, col } = lineCounter.linePos(error.pos[0]);
      const message = hideKeyLines(error.message, new Set(keyLinesOf(text)));
      return { problem: `${message} at line ${line}, column ${col}` };
    }
    if (isOdd(document)) return { problem: SHAPE };
    // Nothing is undefined but a text without content.
    const json = JSON.stringify(document.toJS({ maxAliasCount: ALIASES_MAX }) ?? null);
    const bound = BOUNDS.targetFile;
    if (json.length > bound.max) {
      return { problem: `more than ${formatBound(bound)} with its aliases written out` };
    }
    return { json };
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

/** A map as the key of a map as the key of a map is written out, again and again: a line of them takes hours. */
function isOdd(document: ReturnType<typeof parseDocument>): boolean {
  let isOdd = false;
  visit(document, {
    Pair: (_, { key }) => {
      isOdd ||= !isScalar(key);
      return isOdd ? visit.BREAK : undefined;
    },
    Collection: (_, _node, path) => {
      isOdd ||= path.length > 2 * DEPTH_MAX;
      return isOdd ? visit.BREAK : undefined;
    },
  });
  return isOdd;
}
