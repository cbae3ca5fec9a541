// The attack program in its short form: every attack runs, and what has a defence holds. Times are not
// judged here, where tests share the machine: memory and lost requests are.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Result } from '../../attack/judge.ts';
import { rows } from '../../attack/rows.ts';

const program = join(import.meta.dirname, '..', '..', 'attack', 'main.ts');
const folder = mkdtempSync(join(tmpdir(), 'upriver-attack-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('attacks', () => {
  let results: readonly Result[] = [];
  beforeAll(async () => {
    const json = join(folder, 'results.json');
    const args = [program, '--short', '--noise', '5000', '--json', json];
    // Its exit code says what the tests below say one by one.
    await promisify(execFile)(process.execPath, args).catch(() => {});
    // Written by the program.
    results = JSON.parse(readFileSync(json, 'utf8')) as Result[];
    // Each attack takes its time; beside others it takes several times that.
  }, 600_000);

  it.each(rows.map((row) => [row.name, row] as const))('%s is measured', (name, row) => {
    const result = results.find((one) => one.row.name === name);
    expect(result?.note).not.toBe('');
    expect(result?.rounds.length).toBeGreaterThan(0);
    for (const { quiet } of result?.rounds ?? []) expect(quiet.failures).toBe(0);
    if (row.defence === 'built') expect(result?.broken).toBe('');
  });
});
