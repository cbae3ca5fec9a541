// What services still have of sources that they follow no more, since those of now have yet to answer
// (merge.ts). Over a restart it is kept as a word of the first of these: the others are not needed then.
// Pure.
import type { KeptSource } from '../model/kept.ts';
import { sourceKey } from '../model/source.ts';
import type { ServiceRecord } from './service-record.ts';

export interface Answers {
  /** Whether anything was said of the source of this key. */
  readonly isAnswered: (key: string) => boolean;
  /** Names of the services that follow it. */
  readonly servedBy: (key: string) => Iterable<string>;
}

/**
 * The endpoints of each such service, under a source that has not answered and that no other service
 * follows: another one has them not.
 */
export function predecessorsOf(records: Iterable<ServiceRecord>, answers: Answers): KeptSource[] {
  return [...records].flatMap((record) => {
    const { from } = record.service;
    const keys = new Set(from.map(({ source }) => sourceKey(source)));
    const heir = from.find(({ source }) => {
      const key = sourceKey(source);
      return !answers.isAnswered(key) && [...answers.servedBy(key)].length === 1;
    });
    if (heir === undefined) return [];
    const endpoints = [...record.endpoints.values()].flatMap(({ merged }) => {
      const isOfOthers = !merged.namings.some(({ source }) => keys.has(sourceKey(source)));
      return isOfOthers ? [merged.endpoint] : [];
    });
    return endpoints.length === 0 ? [] : [{ source: heir.source, settings: null, endpoints }];
  });
}
