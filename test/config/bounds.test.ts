// How much a configuration may be: beyond it is an error that says the bound, and quickly so.
import { describe, expect, it } from 'vitest';
import { loadInThread } from '../../src/config/load-thread.ts';
import { load, problemsOf } from '../support/config.ts';

const lines = (count: number, line: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => `${line(i)}\n`).join('');
const variable = (name: string) => `$${`{${name}}`}`;

/** Problems, and that they were found in a time that nobody takes for a hang: of this thread, not of its neighbours. */
function quicklyOf(given: Parameters<typeof problemsOf>[0]): string[] {
  const before = process.threadCpuUsage();
  const problems = problemsOf(given);
  const { user, system } = process.threadCpuUsage(before);
  expect((user + system) / 1000).toBeLessThan(10_000);
  return problems;
}

describe('a configuration is refused that', () => {
  // Bounds: configFile, overlay
  it('is longer than its bound', () => {
    expect(quicklyOf({ file: `#${'x'.repeat(4 * 1024 ** 2)}` })).toEqual([
      'upriver.yaml: expected at most 4MiB',
    ]);
    expect(quicklyOf({ kv: `#${'x'.repeat(512 * 1024)}` })).toEqual([
      'kv upriver/config: expected at most 512KiB',
    ]);
  });

  // Bounds: configServices, configRoutes
  it('names more services or routes than there may be', () => {
    const file = `services:\n${lines(4097, (i) => `  s${i}: {}`)}`;
    expect(quicklyOf({ file })).toEqual([
      'configuration: services: 4097 services: expected at most 4,096',
    ]);
    const routes = lines(10_001, (i) => `  - { path: /${i}, service: a }`);
    const routed = `services: { a: {} }\nrouters:\n- listen: 80\n  routes:\n${routes}`;
    expect(quicklyOf({ file: routed })).toEqual([
      'configuration: routers: 10001 routes: expected at most 10,000',
    ]);
  });

  // Bounds: configDepth
  it.each(['[', '{a: ', '- '])('is nested deeply by %s', (open) => {
    for (const depth of [40, 3000, 100_000]) {
      const [problem = ''] = quicklyOf({ file: `services: ${open.repeat(depth)}` });
      expect(problem).not.toBe('');
      expect(problem.length).toBeLessThan(1000);
    }
    const closed = `services: ${'['.repeat(40)}${']'.repeat(40)}`;
    expect(quicklyOf({ file: closed })).toEqual(['upriver.yaml:1:1: nested deeper than 32 levels']);
  });

  // Bounds: configItems
  it('stands for much more than it is, by aliases', () => {
    const laughs = lines(9, (i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(9)}]`);
    const [bomb = ''] = quicklyOf({ file: `a0: &a0 [x]\n${laughs}` });
    expect(bomb).toMatch(/alias|keys and values/);
    const many = lines(90, (i) => `k${i}: *a`);
    const [wide = ''] = quicklyOf({ file: `a: &a [${'x,'.repeat(5000)}]\n${many}` });
    expect(wide).toBe('upriver.yaml:1:1: more than 250,000 keys and values');
  });

  // Bounds: configAliases
  it('has thousands of aliases', () => {
    const file = `k: &a x\n${lines(20_000, (i) => `k${i}: *a`)}`;
    expect(quicklyOf({ file })[0]).toMatch(/^upriver\.yaml:1002:\d+: more than 1,000 aliases$/);
  });

  // Bounds: configVariables
  it('repeats variables until they are much', () => {
    const env = { BIG: 'x'.repeat(100_000) };
    const file = lines(1000, (i) => `k${i}: ${variable('BIG')}${variable('BIG')}`);
    expect(quicklyOf({ file, env })[0]).toContain('variables put in more than 1MiB');
  });

  // Bounds: configProblems
  it('has more problems than anyone reads', () => {
    const problems = quicklyOf({ file: lines(50_000, (i) => `unknown${i}: 1`) });
    expect(problems).toHaveLength(101);
    expect(problems.at(-1)).toContain('more than 100 problems');
  });

  // Bounds: configProblem
  it('has a key as long as a book', () => {
    const [problem = ''] = quicklyOf({ file: `${'k'.repeat(100_000)}: 1` });
    expect(problem.length).toBeLessThan(2000);
  });
});

describe('a thread that reads a configuration', () => {
  const input = (text: string) => ({
    flags: {},
    env: {},
    file: { path: 'upriver.yaml', text },
    kv: null,
  });

  it('says the same as is said here', async () => {
    const file = 'services: { web: { listen: 80, retry: { on: [ 502, reset ] } } }';
    expect(await loadInThread(input(file))).toEqual(load({ file }));
    const bad = 'services: { web: { listen: x } }';
    expect(await loadInThread(input(bad))).toEqual(load({ file: bad }));
  });

  // Bounds: configTime
  it('that takes too long is a problem', async () => {
    const { settings, problems } = await loadInThread(input(lines(60_000, (i) => `k${i}: 1`)), 1);
    expect(settings).toBeNull();
    expect(problems[0]!.message).toBe('not read within 1ms');
  });
});
