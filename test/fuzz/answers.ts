// Fuzz targets of answers: of a certificate authority, and of lists of targets as YAML; and that JSON which is looked over
// first comes to the same.
import { deepEqual, ok } from 'node:assert/strict';
import { codeOf } from '../../src/base/coded-error.ts';
import { parseBounded, piecesOf, readJsonItems } from '../../src/base/json-body.ts';
import { AcmeError, readProblem, refusalOf } from '../../src/certificates/acme/problem.ts';
import { readYaml } from '../../src/discovery/file/yaml-text.ts';
import { targetSteps } from '../../src/discovery/target-groups.ts';
import { ManualClock } from '../support/clock.ts';
import { looksHarmless } from '../support/hostile-names.ts';
import { finish } from '../support/steps.ts';
import type { FuzzTarget } from './target.ts';

function parsed(input: string): unknown {
  try {
    return JSON.parse(input);
  } catch {
    return input;
  }
}

const PREFIX = 'urn:ietf:params:acme:error:';
const acmeProblem: FuzzTarget = {
  name: 'acme-problem',
  seeds: [
    { type: `${PREFIX}unauthorized`, detail: 'no', status: 403 },
    {
      ...{ type: `${PREFIX}compound`, detail: 'several' },
      subproblems: [{ type: 'x', detail: 'y\x1b[2J', identifier: { type: 'dns', value: 'a' } }],
    },
  ].map((one) => JSON.stringify(one)),
  morsels: ['"detail":', '"type":', '"subproblems":', 'null', '[]', '{}', '\\u001b[2J', PREFIX],
  check: (input) => {
    const body = parsed(input);
    const { text } = readProblem(body);
    ok(text.length < 30_000 && looksHarmless(text), text.slice(0, 200));
    for (const status of [400, 429, 500]) {
      const error = refusalOf(`POST ${input}`, { status, body, retryAfterMs: 0 });
      ok(error instanceof AcmeError && error.message.length < 10_000);
      ok(looksHarmless(error.message), error.message.slice(0, 200));
    }
  },
};

const targetYaml: FuzzTarget = {
  name: 'target-yaml',
  seeds: [
    "- targets: ['10.0.0.1:80', h:1]\n  labels: { service: web, upriver.listen: 8000 }\n",
    '- &a targets: [a:1]\n- *a\n- <<: *a\n# x\n',
    '--- !!seq\n- !!map { targets: !!seq [ "a:1" ] }\n',
  ],
  morsels: [
    '- ',
    ': ',
    '&a ',
    '*a',
    '! ',
    '!!binary ',
    '? ',
    '{',
    '[',
    '|\n',
    '"',
    '\t',
    '<<: ',
    '%YAML',
  ],
  check: (input) => {
    // What is longer is read in a thread.
    const text = input.slice(0, 4096);
    const before = process.threadCpuUsage().user;
    const answer = readYaml(text);
    const ms = (process.threadCpuUsage().user - before) / 1000;
    ok(ms < 500, `took ${ms} ms`);
    if ('problem' in answer) return ok(answer.problem.length < 10_000);
    const read = finish(
      targetSteps(JSON.parse(answer.json), { service: 'x', tagPrefix: 'upriver' }),
    );
    ok(read === null || read.problem.length < 500);
  },
};

/** The value, or why it is refused. */
async function outcomeOf(read: () => unknown): Promise<unknown> {
  try {
    return { value: await read() };
  } catch (error) {
    const code = codeOf(error);
    ok(['not-json', 'too-complex', 'too-long', 'too-many'].includes(code), String(error));
    return code;
  }
}

const jsonBody: FuzzTarget = {
  name: 'json-body',
  seeds: ['[{"a":[1,"x\\\\\\"]"]},null]', '{"a":{"b":[[]]},"c":"\\u00e9[{,"}', '"\\\\"', ' 1 '],
  morsels: ['"', '\\', '\\"', '[', ']', '{', '}', ',', ':', '[[[[[[[[', 'null', '\\ud800'],
  check: async (input) => {
    const bytes = Buffer.from(input);
    const whole = await outcomeOf(() => JSON.parse(bytes.toString())).catch(() => 'not-json');
    const vetted = await outcomeOf(() => parseBounded(bytes, 1_000_000));
    const clock = new ManualClock();
    const limit = { max: 10 ** 8, excess: () => new Error('none') };
    const bounds = { items: 10 ** 6, itemBytes: 10 ** 8, limit, clock };
    const byItem = await outcomeOf(() => readJsonItems(piecesOf(bytes), bounds));
    // What is refused for its shape may be JSON or not.
    for (const one of [vetted, byItem]) if (one !== 'too-complex') deepEqual(one, whole);
  },
};

export const answerTargets: readonly FuzzTarget[] = [acmeProblem, targetYaml, jsonBody];
