import { expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { Renderer } from '../../src/observe/renderer.ts';
import { ManualClock } from '../support/clock.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

it('a page is made once for all who wait for it, and anew for who asks after it was begun', async () => {
  const renderer = new Renderer(systemClock);
  let made = 0;
  let finish = (): void => {};
  const make = async () => {
    made += 1;
    const text = `page ${made}`;
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    return { type: 'text/plain', text };
  };
  const first = renderer.take('page', make);
  await turn();
  const others = Array.from({ length: 50 }, () => renderer.take('page', make));
  finish();
  expect(String((await first).parts)).toBe('page 1');
  await expect.poll(() => made).toBe(2);
  finish();
  const answers = await Promise.all(others);
  expect(new Set(answers).size).toBe(1);
  expect(String(answers[0]!.parts)).toBe('page 2');
});

it('pages take a quarter of the thread at the most, whichever they are', async () => {
  const clock = new ManualClock();
  const renderer = new Renderer(clock);
  const made: string[] = [];
  const page = (name: string) =>
    renderer.take(name, () => {
      made.push(name);
      clock.advance(100);
      return { type: 'text/plain', text: name };
    });
  await page('a');
  void page('b');
  await turn();
  clock.advance(299);
  await turn();
  expect(made).toEqual(['a']);
  clock.advance(1);
  await turn();
  expect(made).toEqual(['a', 'b']);
});

it('a page that can not be made keeps nobody from the next', async () => {
  const renderer = new Renderer(systemClock);
  const broken = renderer.take('page', () => {
    throw new Error('no');
  });
  await expect(broken).rejects.toThrow('no');
  const next = await renderer.take('page', () => ({ type: 'text/plain', text: 'yes' }));
  expect(String(next.parts)).toBe('yes');
});
