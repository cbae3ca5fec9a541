// References to variables of the environment in the values of a configuration.
import type { Scalar } from 'yaml';
import { BOUNDS, formatBound } from '../model/bounds.ts';

export type Variables = Readonly<Record<string, string | undefined>>;

/** What is said where all values of variables together are too long. */
export const TOO_LONG = `variables put in more than ${formatBound(BOUNDS.configVariables)}`;
const NO_VARIABLES = 'a text: environment references are not allowed in the overlay';

/** `${VAR}`, `${VAR:-default}`, `${VAR:?message}`, `$$` in the scalars of one document. */
export class Interpolation {
  private readonly env: Variables | null;
  private leftBytes: number = BOUNDS.configVariables.max;

  constructor(env: Variables | null) {
    this.env = env;
  }

  /** Replaces them in the value of `node`. Returns what is wrong, or ''. */
  replaceIn(node: Scalar): string {
    if (typeof node.value !== 'string' || !node.value.includes('$')) return '';
    let problem = '';
    const pattern = /\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::([-?])([^}]*))?\}|\{)/g;
    node.value = node.value.replace(pattern, (whole, ...[variable, operator, rest]: Parts) => {
      if (whole === '$$') return '$';
      if (variable === undefined) {
        problem = this.env === null ? NO_VARIABLES : malformed(whole);
        return '';
      }
      const found = this.valueOf(variable, operator, rest);
      if (found.problem !== '') problem = found.problem;
      return found.text;
    });
    return problem;
  }

  private valueOf(variable: string, operator = '', rest = ''): { text: string; problem: string } {
    if (this.env === null) return { text: '', problem: NO_VARIABLES };
    const value = Object.hasOwn(this.env, variable) ? this.env[variable] : undefined;
    const text = value !== undefined && value !== '' ? value : operator === '-' ? rest : null;
    if (text === null) {
      const problem = `the variable ${variable} is not set${operator === '?' ? `: ${rest}` : ''}`;
      return { text: '', problem };
    }
    this.leftBytes -= Buffer.byteLength(text);
    return this.leftBytes < 0 ? { text: '', problem: TOO_LONG } : { text, problem: '' };
  }
}

function malformed(text: string): string {
  return `expected \${NAME}, \${NAME:-default} or \${NAME:?message} at '${text}'; for a dollar sign write $$`;
}

/** The groups of the pattern. */
type Parts = [variable: string | undefined, operator: string | undefined, rest: string | undefined];
