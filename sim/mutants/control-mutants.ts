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
    'large answers are followed as fast as they come',
    `${consul}/blocking-query.ts`,
    'for (const bucket of [this.bucket, this.sizes]) {',
    'for (const bucket of [this.bucket]) {',
  ],
  [
    'second reads are as many as answers are in doubt, however large',
    `${consul}/brake.ts`,
    'if (this.reads.take(nowMs) > 0 || this.sizes.take(nowMs) > 0) {',
    'if (this.reads.take(nowMs) > 0) {',
  ],
  [
    'a second read over a break confirms',
    `${consul}/brake.ts`,
    '    if (isShort && this.epoch !== this.currentEpoch) {',
    "    if (isShort && this.epoch === ' ') {",
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
    '    if (full !== null) void thread.apply(full).then(',
    '    if (full !== null && this.starting !== null) void thread.apply(full).then(',
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
    '      onError: (error) => contact.failed(this.what, error, context.client.address),',
    "      onError: (error) => {\n        contact.failed(this.what, error, context.client.address);\n        service.take({ entries: [], doubt: '', change: 'error', receivedMs: 0 });\n      },",
  ],
  [
    "the operator's words are lost in a reload",
    'src/control/controller.ts',
    '    this.listening.names = names;\n',
    "    this.listening.names = names;\n    this.operator['words'].clear();\n",
  ],
  [
    'the state file wins over the registry',
    'src/state/warm-table.ts',
    '    return { ...update, service: withOrder(update.service, kept) };',
    '    return { ...update, service: { ...withOrder(update.service, kept), endpoints: kept.endpoints } };',
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
    '      this.described.delete(name);\n',
    '',
  ],
  [
    'the check of an endpoint that moved goes on',
    'src/control/endpoints.ts',
    '    this.checks.unwatch({ service, record });\n',
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
    '  if (facts.ejected >= cap) {',
    '  if (cap === 0) {',
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
    'src/discovery/contact.ts',
    '    this.errors += 1;\n',
    '    this.errors += 1;\n    this.lastSyncMs = this.clock.nowMs();\n',
  ],
];

/** Of what keeps endpoints while a registry is in doubt. */
const doubtRows: readonly Row[] = [
  [
    'what is held goes too soon',
    'src/control/guard.ts',
    '        const untilMs = nowMs + settings.holdMs;',
    '        const untilMs = nowMs + settings.holdMs / 10;',
  ],
  [
    'what is left out takes its settings along',
    'src/control/sources.ts',
    '    const settings = said ?? (isSilent || isHeld ? (known?.settings ?? null) : null);',
    '    const settings = isSilent || isHeld ? said : said;',
  ],
  [
    'a server behind the leader is believed',
    `${consul}/brake.ts`,
    '      if (index < leaderIndex) return',
    '      if (index < 0n) return',
  ],
  [
    'a second read that fails counts as the same answer',
    `${consul}/brake.ts`,
    '      if (this.isClosed) return;\n      this.hold(first,',
    "      if (this.isClosed) return;\n      this.options.pass({ ...first, doubt: '', isConfirmed: true });\n      if (why === ' ') this.hold(first,",
  ],
  [
    'what a second read has besides comes with the look after it',
    `${consul}/brake.ts`,
    "      onSecondRead('confirmed', '');\n      pass({ entries, receivedMs, change, doubt: '', isConfirmed: true });",
    "      onSecondRead('confirmed', '');\n      this.lookAgain('answer');\n      const known = entries.filter((one) => idsOf([one]).isSubsetOf(new Set(present())));\n      pass({ entries: known, receivedMs, change, doubt: '', isConfirmed: true });",
  ],
  [
    'a source that has not answered empties the service',
    'src/control/merge.ts',
    '    this.keepLeft();\n',
    '',
  ],
  [
    'a predecessor is forgotten when a provider starts',
    'src/discovery/provider-set.ts',
    '      if (hasNamedAll) this.endHandover(running);',
    '      if (hasNamedAll || inherited.size > 0) this.endHandover(running);',
  ],
];

/** Of reloads, listeners, the overlay and workers that die. */
const changeRows: readonly Row[] = [
  [
    'what a reload no longer names is followed on',
    `${consul}/provider.ts`,
    '      this.emitRemove(service.source);\n',
    '',
  ],
  [
    'an overlay that is gone is not undone',
    `${consul}/kv-watch.ts`,
    "    if (value === this.last || (value === null && doubt !== '')) return false;",
    '    if (value === this.last || value === null) return doubt.length < 0;',
  ],
  [
    'listeners are told once',
    'src/control/publish.ts',
    '    const listeners = this.haveListenersChanged ? this.nextListeners() : null;',
    '    const listeners = this.currentVersion === 0 ? this.nextListeners() : null;',
  ],
  [
    'a process that starts listens before it has checked anything',
    'src/control/opening.ts',
    '    if (this.rule === null) return planned;',
    '    if (planned.length >= 0) return planned;',
  ],
  [
    'a port that another program has is taken',
    'src/control/port-claims.ts',
    '      if (one.holder !== holder) this.tell(one, holder);',
    "      if (one.holder !== holder) this.tell(one, '');",
  ],
  [
    'a port that was taken is not looked at again',
    'src/control/port-claims.ts',
    "      if (holder !== '') this.lookLater(one);",
    "      if (holder === ' ') this.lookLater(one);",
  ],
  [
    'a worker that died is not replaced',
    'src/supervisor/supervisor.ts',
    '    clock.setTimer(waitMs, () => this.replace(seat, buffers));',
    '    if (waitMs < 0) clock.setTimer(waitMs, () => this.replace(seat, buffers));',
  ],
  [
    'what a dead worker had in flight counts on',
    'src/ledger/ledger.ts',
    '      takeBack(this.inFlightCounts, new Int32Array(slab.inFlight));\n',
    '',
  ],
  [
    'a worker that does not answer is left so',
    'src/supervisor/supervisor.ts',
    '    thread.terminate();\n  }\n\n  /** What `done`',
    '  }\n\n  /** What `done`',
  ],
];

/** Of the stats port. */
const statsRows: readonly Row[] = [
  [
    'a page of another site may change something',
    'src/observe/admin.ts',
    "  return isCrossSite(request) ? 'cross-site requests are refused' : objection(request, access);",
    '  return objection(request, access);',
  ],
  [
    'the page before the change is shown',
    'src/observe/renderer.ts',
    '      this.next.delete(key);\n',
    '',
  ],
];

export const controlMutants: readonly Mutant[] = [
  ...[...rows, ...doubtRows, ...changeRows, ...statsRows],
].map(([name, file, find, replace]) => {
  return { name, plane: 'control', file, find, replace };
});
