// The process has no file descriptor left: it says so, blames no endpoint, and recovers by itself.
import { afterEach, expect, it } from 'vitest';
import { startEndpoint } from '../support/endpoint.ts';
import { dial, type Peer } from '../support/peer.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver } from '../support/upriver.ts';

const endings: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

it('answers 503 while descriptors are out, and serves again when some are back', async () => {
  const endpoint = await startEndpoint('a');
  endings.push(() => endpoint.kill());
  const [port = 0] = await freePorts(1);
  const upriver = await startUpriver({
    args: [
      ...['--static', `web=127.0.0.1:${endpoint.port}`, '--service', `web=127.0.0.1:${port}`],
      ...['--workers', '1'],
    ],
    descriptors: 96,
  });
  endings.push(() => upriver.stop());
  const clients: Peer[] = [];
  endings.push(async () => {
    for (const client of clients) client.reset();
  });
  // Each slow request holds two descriptors.
  const isOut = upriver.waitForLog(
    (line) => line.msg.startsWith('no descriptor or port is left'),
    'that descriptors are out',
  );
  let isOver = false;
  void isOut.then(() => {
    isOver = true;
  });
  while (!isOver && clients.length < 96) {
    const client = await dial(port);
    clients.push(client);
    client.send('GET /slow?ms=600000 HTTP/1.1\r\nHost: a\r\n\r\n');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(await isOut).toMatchObject({ code: 'EMFILE' });
  const refused = await Promise.race(
    clients.map((client) => client.head().catch(() => new Promise<string>(() => {}))),
  );
  expect(refused).toContain('HTTP/1.1 503 ');
  expect(refused).toContain('X-Upriver-Reason: out-of-descriptors\r\nRetry-After: 1\r\n');
  // The endpoint is not to blame.
  for (const client of clients.splice(0)) client.reset();
  await expect
    .poll(() => fetch(`http://127.0.0.1:${port}/`).then((answer) => answer.text(), String))
    .toBe('a GET 0\n');
  const service = await fetch(`${upriver.statsUrl}/api/v1/services/web`);
  // The API's own shape.
  const { endpoints } = (await service.json()) as { endpoints: { state: string }[] };
  expect(endpoints.map(({ state }) => state)).toEqual(['up']);
});
