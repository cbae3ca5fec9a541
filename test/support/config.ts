// Loads configurations in tests: a file of these lines, flags, environment and overlay.
import { expect } from 'vitest';
import type { RunFlags } from '../../src/config/flags.ts';
import { type LoadResult, loadSettings } from '../../src/config/load.ts';
import { formatProblem } from '../../src/config/problem.ts';
import type { Service } from '../../src/model/service.ts';
import type { Settings } from '../../src/model/settings.ts';

export interface Given {
  /** Text of the file, upriver.yaml. */
  readonly file?: string;
  readonly flags?: RunFlags;
  readonly env?: Readonly<Record<string, string>>;
  /** Text of the overlay, upriver/config. */
  readonly kv?: string;
}

export function load({ file, flags = {}, env = {}, kv }: Given): LoadResult {
  return loadSettings({
    ...{ flags, env },
    file: file === undefined ? null : { path: '/etc/upriver.yaml', text: file },
    kv: kv === undefined ? null : { key: 'upriver/config', text: kv },
  });
}

/** The settings of a configuration without problems. */
export function settingsOf(given: Given): Settings {
  const { settings, problems } = load(given);
  expect(problems.map(formatProblem)).toEqual([]);
  return settings!;
}

/** The one service of a configuration without problems. */
export function serviceOf(given: Given): Service {
  const { services } = settingsOf(given);
  expect(services).toHaveLength(1);
  return services[0]!;
}

/** Every problem as it is told. */
export function problemsOf(given: Given): string[] {
  const { settings, problems } = load(given);
  expect(settings === null).toBe(problems.length > 0);
  return problems.map(formatProblem);
}
