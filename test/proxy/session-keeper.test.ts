// For how long sessions with an endpoint are kept: as long as the certificate that was verified for them.
import { expect, it } from 'vitest';
import { SessionKeeper, sessionOf } from '../../src/proxy/wire/session-keeper.ts';

const UNTIL_MS = 1000;
const [first, second] = [Buffer.from('first'), Buffer.from('second')];
const emptyStore = () => ({ session: null as Buffer | null, sessionUntilMs: 0 });

it('keeps what a resumed session gives no longer than the one that it began with', () => {
  const store = emptyStore();
  const full = new SessionKeeper(store);
  full.certifiedUntil(UNTIL_MS);
  full.believed();
  full.take(first);
  expect(sessionOf(store, UNTIL_MS)).toBe(first);
  const resumed = new SessionKeeper(store);
  resumed.believed();
  resumed.take(second);
  expect(sessionOf(store, UNTIL_MS)).toBe(second);
  expect(sessionOf(store, UNTIL_MS + 1)).toBeNull();
});

it('keeps sessions of an endpoint without `verify` for as long as they are good', () => {
  const store = emptyStore();
  const keeper = new SessionKeeper(store);
  keeper.take(first);
  expect(sessionOf(store, 0)).toBeNull();
  keeper.believed();
  expect(sessionOf(store, Number.MAX_SAFE_INTEGER)).toBe(first);
});
