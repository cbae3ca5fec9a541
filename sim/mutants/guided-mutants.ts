// Faults of what guides traffic beyond the list of endpoints: operators, priorities, primaries, and where
// listeners and endpoints may be.
import { type MutantRow, mutantsOf } from './mutant.ts';

const rows: readonly MutantRow[] = [
  [
    "an operator's drain is forgotten when a worker starts again",
    'src/control/publish.ts',
    'const upsert = [...this.live].flatMap((name) => this.options.snapshotOf(name) ?? []);',
    `const upsert = [...this.live].flatMap((name) => {
      const one = this.options.snapshotOf(name);
      if (one === null) return [];
      const endpoints = one.endpoints.map((e) => (e.reason === 'operator: drain' ? { ...e, state: 'up' as const } : e));
      return [{ ...one, endpoints }];
    });`,
  ],
  [
    "an operator's weight ends what was said before",
    'src/control/operator.ts',
    '? { ...before, weight: command.weight }',
    '? { ...NOTHING_SAID, weight: command.weight }',
  ],
  [
    'the traffic returns to a priority at once',
    'src/control/failover.ts',
    'const leftMs = sinceMs == null ? 0 : sinceMs + policy.returnAfterMs - nowMs;',
    'const leftMs = sinceMs == null ? 0 : sinceMs - nowMs;',
  ],
  [
    'a priority that flaps is waited for from its first success on',
    'src/control/failover.ts',
    'else if (tier.working === 0) this.failed.set(priority, null);',
    'else if (tier.working === 0) continue;',
  ],
  [
    'a priority is left before its time',
    'src/control/failover.ts',
    'const leftMs = this.downSinceMs + policy.afterMs - nowMs;',
    'const leftMs = 0;',
  ],
  [
    'nothing wakes a failover that waits',
    'src/control/service-review.ts',
    '      service.failoverTimer = clock.setTimer(Math.max(1, Math.ceil(inMs)), () => {',
    '      service.failoverTimer = clock.setTimer(1e9 + Math.max(1, Math.ceil(inMs)), () => {',
  ],
  [
    'the primary is kept after a change',
    'src/control/service-review.ts',
    '    if (after.id === before.id && after.why === before.why) return;',
    "    if ((after.id === before.id && after.why === before.why) || before.id !== '') return;",
  ],
  [
    'of two primaries the first is taken',
    'src/control/primary.ts',
    '  if (ids.length === 1) return { id',
    '  if (ids.length >= 1) return { id',
  ],
  [
    'the session of a lock is read once',
    'src/discovery/consul/lock-watch.ts',
    '    if (node !== null) return;',
    '    if (node !== null || node === null) return;',
  ],
  [
    'who describes itself may listen anywhere',
    'src/control/listener-plan.ts',
    '  if (!mayListen(allowed(registry), address)) {',
    '  if (!mayListen(allowed(registry), address) && allowed(registry).length === 0) {',
  ],
  [
    'a network that is denied is used',
    'src/control/endpoint-policy.ts',
    '    if (registries.length === 0 || !registries.every(isDenied)) return',
    '    if (registries.length < 2 || !registries.every(isDenied)) return',
  ],
  [
    'an endpoint that is denied is checked',
    'src/control/endpoint-checks.ts',
    "    if (health === null || record.refused !== '') {",
    '    if (health === null) {',
  ],
  [
    'an overlay keeps the file from being changed',
    'src/config/source.ts',
    '    for (const other of new Set([this.goodKv, null])) {',
    '    for (const other of new Set([this.goodKv])) {',
  ],
];

export const guidedMutants = mutantsOf('control', rows);
