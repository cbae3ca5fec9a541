// YAML as JSON, which can be read in turns.
import { parse } from 'yaml';
import { messageOf } from '../../base/coded-error.ts';
import { BOUNDS, formatBound } from '../../model/bounds.ts';

export type YamlAnswer = { readonly json: string } | { readonly problem: string };

const ALIASES_MAX = 100;

export function readYaml(text: string): YamlAnswer {
  try {
    // Nothing is undefined but a text without content.
    const json = JSON.stringify(parse(text, { maxAliasCount: ALIASES_MAX }) ?? null);
    const bound = BOUNDS.targetFile;
    if (json.length > bound.max) {
      return { problem: `more than ${formatBound(bound)} with its aliases written out` };
    }
    return { json };
  } catch (error) {
    return { problem: messageOf(error) };
  }
}
