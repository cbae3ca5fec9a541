import { describe, expect, it } from 'vitest';
import { OperatorWords } from '../../src/control/operator.ts';

describe('OperatorWords', () => {
  it('keeps a weight over changes of the state, and the other way round', () => {
    const words = new OperatorWords();
    words.say('web', 'a', { kind: 'weight', weight: 5 });
    words.say('web', 'a', { kind: 'drain' });
    expect(words.get('web', 'a')).toEqual({ state: 'drain', weight: 5 });
    words.say('web', 'a', { kind: 'ready' });
    expect(words.get('web', 'a')).toEqual({ state: 'ready', weight: 5 });
  });

  it('forgets what was taken back', () => {
    const words = new OperatorWords();
    words.say('web', 'a', { kind: 'maint' });
    words.say('web', 'a', { kind: 'ready' });
    expect(words.get('web', 'a')).toBeNull();
  });

  it('tells endpoints and services apart', () => {
    const words = new OperatorWords();
    words.say('web', 'a', { kind: 'maint' });
    expect(words.get('web', 'b')).toBeNull();
    expect(words.get('api', 'a')).toBeNull();
  });
});
