// The files for Grafana and Prometheus ask for metrics that there are.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { families } from '../../src/observe/families.ts';
import { Metrics } from '../../src/observe/metrics.ts';
import { makeSources } from '../support/stats.ts';
import { textOf } from '../support/steps.ts';

const folder = join(import.meta.dirname, '..', '..', 'grafana');
const labels = new Map(families.map((family) => [family.name, family.labels]));

/** Each metric that the text names, with the labels it is asked for. */
function asked(text: string): [string, string[]][] {
  return [...text.matchAll(/\b((?:upriver|nodejs|process)_[a-z_0-9]+)(?:\{([^}]*)\})?/g)].map(
    ([, name, selector = '']) => [
      name!,
      [...selector.matchAll(/(\w+)(?:=~|!=|=)"/g)].map((match) => match[1]!),
    ],
  );
}

it.each(['dashboard.json', 'alerts.yaml'])('%s asks for metrics that there are', async (file) => {
  const text = readFileSync(join(folder, file), 'utf8');
  const expressions = JSON.stringify(parse(text)).replaceAll('\\"', '"');
  const text004 = textOf((await new Metrics(makeSources().sources).body('prometheus')).text);
  const found = asked(expressions);
  expect(found.length).toBeGreaterThan(5);
  for (const [name, selected] of found) {
    const family = name.replace(/_bucket$/, '');
    expect(text004, name).toContain(`# TYPE ${family} `);
    const own = labels.get(family);
    if (own === undefined) continue;
    const allowed = [...own, 'instance'];
    for (const label of selected) expect(allowed, `${name}{${label}}`).toContain(label);
  }
});
