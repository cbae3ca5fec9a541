// A private key that stands in a file of targets: an error of YAML shows no piece of it.
import { expect, it } from 'vitest';
import { readYaml } from '../../../src/discovery/file/yaml-text.ts';
import { PRIVATE_KEYS, pieceFinder } from '../../support/private-keys.ts';

it.each(Object.entries(PRIVATE_KEYS))('%s', (_, pem) => {
  const find = pieceFinder([pem]);
  const lines = pem.trim().split('\n');
  const texts = [
    `- targets: [a]\n  key: ${pem}`,
    `- targets: [a]\n  ${pem}`,
    `- key: "${pem}`,
    `- key: ${pem.replaceAll('\n', '\n    ')}: x: y`,
    ...lines.map((_, i) => `- targets: [a]\n  key: "x"\n${lines.slice(i).join('\n')}\n  : x`),
    ...lines.map((line) => `- "a" ${line}\n`),
    `# ${pem}- [${lines[1]}\n`,
  ];
  for (const text of texts) {
    const answer = readYaml(text);
    const problem = 'problem' in answer ? answer.problem : '';
    expect(find(problem), problem).toBe('');
    if (problem !== '') expect(problem).toMatch(/ at line \d+, column \d+$/);
  }
  expect(readYaml(texts[0]!)).toHaveProperty('problem');
});
