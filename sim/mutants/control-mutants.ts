// Faults of the control plane that the simulator must find. Each is a small change that could have been
// made by mistake; some were.
import type { Mutant } from './mutant.ts';

const consul = 'src/discovery/consul';

type Row = readonly [name: string, file: string, find: string, replace: string];

const rows: readonly Row[] = [
  [
    'the index is kept after an outage',
    `${consul}/blocking-query.ts`,
    '    this.index = 0n;\n    this.break = why;',
    '    this.break = why;',
  ],
  [
    'an index that goes back is believed',
    `${consul}/blocking-query.ts`,
    'const isBackwards = hasWaited && index < this.index;',
    'const isBackwards = false;',
  ],
  [
    'the index of another agent is used on',
    `${consul}/blocking-query.ts`,
    "if (address !== this.address && this.address !== '') this.breakOff",
    "if (address === '' && this.address !== '') this.breakOff",
  ],
  [
    'the brake is skipped',
    `${consul}/brake.ts`,
    '    const why = this.objection(health);\n',
    '    const why = this.objection(health).slice(0, 0);\n',
  ],
  [
    'a second read over a break confirms',
    `${consul}/brake.ts`,
    '    } else if (this.epoch !== this.currentEpoch) {',
    "    } else if (this.epoch === ' ') {",
  ],
  [
    'the guard never holds',
    'src/control/guard.ts',
    "    if (doubt !== '' && settings.enabled) {",
    "    if (doubt === ' ' && settings.enabled) {",
  ],
  [
    'the guard never ends',
    'src/control/guard.ts',
    '      if (held.untilMs > nowMs) continue;',
    '      if (held.untilMs > 0) continue;',
  ],
  [
    'a slot is used again before all workers know',
    'src/control/slots.ts',
    '      if (one.version > this.liveVersion || !isIdle(one.slot)) return true;',
    '      if (!isIdle(one.slot)) return true;',
  ],
  [
    'a slot is used again with requests in flight',
    'src/control/slots.ts',
    '      if (one.version > this.liveVersion || !isIdle(one.slot)) return true;\n      clear(one.slot);',
    '      if (one.version > this.liveVersion) return true;\n      if (isIdle(one.slot)) clear(one.slot);',
  ],
  [
    'a worker that starts again gets no full table',
    'src/supervisor/supervisor.ts',
    '    if (full !== null) void thread.apply(full);',
    '    if (full !== null && this.starting !== null) void thread.apply(full);',
  ],
  [
    'an endpoint that changed is sent as unchanged',
    'src/model/delta-packing.ts',
    '    const known = new Set(before.endpoints);\n    const endpoints = snapshot.endpoints.map((one) => (known.has(one) ? one.slot : one));',
    '    const known = new Set(before.endpoints.map(({ slot }) => slot));\n    const endpoints = snapshot.endpoints.map((one) => (known.has(one.slot) ? one.slot : one));',
  ],
  [
    'a service that is gone is not removed',
    'src/control/publish.ts',
    '        remove.push(name);',
    "        if (name === '') remove.push(name);",
  ],
  [
    'an error of the registry empties the catalog',
    `${consul}/direct-watch.ts`,
    '      onError: (error) => exchanges.failed(this.what, error, context.client.address),',
    "      onError: (error) => {\n        exchanges.failed(this.what, error, context.client.address);\n        service.take({ entries: [], doubt: '', change: 'error', receivedMs: 0 });\n      },",
  ],
  [
    "the operator's words are lost in a reload",
    'src/control/controller.ts',
    '    this.settings = settings;\n    this.publisher.changeListeners();',
    "    this.settings = settings;\n    this.operator['words'].clear();\n    this.publisher.changeListeners();",
  ],
  [
    'the state file wins over the registry',
    'src/state/warm-table.ts',
    '    return { ...update, service: withSettings(update.service, kept) };',
    '    return { ...update, service: { ...withSettings(update.service, kept), endpoints: kept.endpoints } };',
  ],
  [
    'a state file that is cut is read',
    'src/state/state-format.ts',
    "  if (last?.lines !== lines.length) throw broken('its end is missing');",
    '',
  ],
  [
    'a service that describes itself never leaves',
    `${consul}/provider.ts`,
    '        this.described.delete(name);\n',
    '',
  ],
  [
    'the check of an endpoint that moved goes on',
    'src/control/endpoints.ts',
    '    this.unwatch(checkKey(service, record.endpoint.id));\n',
    '',
  ],
  [
    'a back-off never ends',
    `${consul}/blocking-query.ts`,
    'await this.pause(failure.retryAfterMs + this.backoff.nextMs());',
    'await this.pause((failure.retryAfterMs + this.backoff.nextMs()) * 20);',
  ],
  [
    'an ejection has no bound',
    'src/health/ejection.ts',
    'if (facts.othersWorking === 0 || facts.ejected >= cap) return null;',
    'if (cap === 0) return null;',
  ],
  [
    'what is not resolved is gone',
    `${consul}/followed-service.ts`,
    '    const doubt = word.doubt || unresolved;',
    '    const doubt = word.doubt;',
  ],
  [
    'a timer is forgotten at the stop',
    'src/main.ts',
    '    this.memory.stop();\n    this.awaiting?.cancel();\n',
    '    this.awaiting?.cancel();\n',
  ],
  [
    'the sync age is renewed by failures',
    `${consul}/exchanges.ts`,
    '    this.errors += 1;\n',
    '    this.errors += 1;\n    this.lastSyncMs = this.clock.nowMs();\n',
  ],
];

export const controlMutants: readonly Mutant[] = rows.map(([name, file, find, replace]) => {
  return { name, plane: 'control', file, find, replace };
});
