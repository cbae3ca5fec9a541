// One service of etcd: what its records come to.

import { FollowedInstances, type Word } from '../followed-instances.ts';
import { type KeyRecord, readingsOf } from '../key-record.ts';
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
    const settings = mayDescribe ? (settingsOf(records) ?? this.settings) : null;
    this.take({ ...readingsOf(records), settings, order }, word);
  }
}

/** Whether the service says where it wants to be served, rightly or not: what is wrong is to be told. */
export function wantsPort(records: Records['records']): boolean {
  return records.has('port') || settingsOf(records) !== null;
}

/** What the service says of itself; null where it does not say where it wants to be served. */
function settingsOf(records: Records['records']): ServiceSettings | null {
  const own: Record<string, string> = {};
  for (const { reading } of records.values()) {
    if (reading.kind === 'port') own.listen ??= String(reading.port);
    else if (reading.kind === 'setting') own[reading.key] = reading.value;
  }
  return own.listen === undefined ? null : { ...DEFAULTS, ...own };
}
