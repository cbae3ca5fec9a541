// One service of etcd: what its records come to.

import { FollowedInstances, type Word } from '../followed-instances.ts';
import { type KeyRecord, readingsOf } from '../key-record.ts';
import { OwnSettings } from '../own-settings.ts';
import type { ServiceSettings } from '../provider.ts';

/** What a service with a key `port` is, as docker-discover served it: TCP, with TCP checks. */
const DEFAULTS: ServiceSettings = {
  protocol: 'tcp',
  'health.type': 'tcp',
  'health.interval': '2s',
  'health.rise': '3',
  'health.fall': '2',
};

export interface Records {
  readonly records: ReadonlyMap<string, KeyRecord>;
  readonly order: number | null;
  /** Whether they may say where the service wants to be served. */
  readonly mayDescribe: boolean;
}

export class FollowedService extends FollowedInstances {
  /** Its records as they are now. Without its port it keeps the last one for a while (provider.ts). */
  takeRecords({ records, order, mayDescribe }: Records, word: Word): void {
    const { settings: own, problems } = settingsOf(records);
    const settings = mayDescribe ? (own ?? this.settings) : null;
    const read = readingsOf(records);
    this.take({ ...read, problems: [...problems, ...read.problems], settings, order }, word);
  }
}

/** Whether the service says where it wants to be served, rightly or not: what is wrong is to be told. */
export function wantsPort(records: Records['records']): boolean {
  return records.has('port') || settingsOf(records).settings !== null;
}

/** What the service says of itself; `settings` is null where it does not say where it wants to be served. */
function settingsOf(records: Records['records']) {
  const own = new OwnSettings();
  const problems = new Set<string>();
  const put = (key: string, value: string): void => {
    const problem = own.put(key, value);
    if (problem !== '') problems.add(problem);
  };
  const all = [...records.values()].map(({ reading }) => reading);
  // Its port goes before settings without end.
  const port = all.find((one) => one.kind === 'port');
  if (port !== undefined) put('listen', String(port.port));
  for (const one of all) if (one.kind === 'setting') put(one.key, one.value);
  const whole = own.whole();
  return { settings: whole === null ? null : { ...DEFAULTS, ...whole }, problems: [...problems] };
}
