// A list of target groups as text of others: group by group, so that neither a long list nor one of odd
// shape holds up the thread.
import type { Body, BodyLimit } from '../base/body.ts';
import type { Clock } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/coded-error.ts';
import { readJsonItems } from '../base/json-body.ts';
import { BOUNDS, excessOf } from '../model/bounds.ts';

/** The JSON of a body. Throws CodedError that says what is wrong with it, or the error of the stream. */
export async function readGroups(body: Body, limit: BodyLimit, clock: Clock): Promise<unknown> {
  const [groups, group] = [BOUNDS.targetGroups, BOUNDS.targetGroup];
  try {
    const bounds = { items: groups.max, itemBytes: group.max };
    return await readJsonItems(body, { ...bounds, limit, clock });
  } catch (error) {
    switch (codeOf(error)) {
      case 'not-json':
        throw new CodedError('not-json', 'is not JSON');
      case 'too-many':
        throw new CodedError('too-large', excessOf(groups));
      case 'too-long':
      case 'too-complex':
        throw new CodedError('too-large', excessOf(group));
      default:
        throw error;
    }
  }
}
