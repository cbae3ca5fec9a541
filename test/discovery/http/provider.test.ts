// Target groups from a real HTTP server that answers as a test says.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { HttpProvider } from '../../../src/discovery/http/provider.ts';
import { nodeDoors } from '../../../src/doors.ts';
import { BOUNDS } from '../../../src/model/bounds.ts';
import { plainSource } from '../../../src/model/source.ts';
import { HttpPools } from '../../../src/reach/http-pools.ts';
import { keepingLogger, Receiver, untilTrue } from '../../support/discovery.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const json =
  (value: unknown): Answer =>
  (_, response) =>
    void response.end(JSON.stringify(value));
const group = (...targets: string[]) => [{ targets }];
const status =
  (code: number): Answer =>
  (_, response) =>
    void response.writeHead(code).end('sorry');

async function start(
  first: Answer,
  more: { token?: string; service?: string; query?: string } = {},
) {
  const world = { answer: first, requests: [] as IncomingMessage[] };
  const server = createServer((request, response) => {
    world.requests.push(request);
    world.answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const { log, lines } = keepingLogger();
  const { clock, random, resolve } = nodeDoors;
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/sd?env=test${more.query ?? ''}`;
  const { query: _, ...own } = more;
  const settings = {
    ...{ urls: [url], intervalMs: 20, service: 'web', token: '', tokenFile: '', ...own },
    ...{ tagPrefix: 'upriver', listenAllow: [], endpointDeny: [] },
    tls: { caFile: '', certFile: '', keyFile: '', serverName: '', verify: true },
  };
  const open = (tls: typeof settings.tls) => new HttpPools(tls);
  const provider = new HttpProvider({ settings, clock, random, log, open, resolve });
  cleanups.push(() => provider.stop());
  const receiver = new Receiver();
  provider.follow([plainSource('http', 'web')]);
  provider.start(receiver.take);
  const ids = () => receiver.ids('web').join();
  const failing = (text: string) =>
    untilTrue(
      () => provider.status().lastError.includes(text),
      () => provider.status().lastError,
    );
  /** Resolves when so many more requests have been answered. */
  const polls = (count: number) => {
    const until = world.requests.length + count;
    return untilTrue(
      () => world.requests.length >= until,
      () => 'no further question',
    );
  };
  return { world, provider, receiver, ids, failing, polls, lines };
}

describe('a URL with target groups', () => {
  it('is asked again and again, with its token', async () => {
    const { world, provider, receiver, ids } = await start(json(group('10.0.0.1:80')), {
      token: 'abc',
    });
    await receiver.until(() => ids() === '10.0.0.1:80', 'the first answer');
    expect(provider.status()).toMatchObject({ isSynced: true, lastError: '', watches: 1 });
    const { url, headers } = world.requests[0]!;
    expect(url).toBe('/sd?env=test');
    expect(headers).toMatchObject({
      ...{ authorization: 'Bearer abc', accept: 'application/json' },
      'x-prometheus-refresh-interval-seconds': '0.02',
    });
    world.answer = json(group('10.0.0.1:80', '10.0.0.2:80'));
    await receiver.until(() => ids() === '10.0.0.1:80,10.0.0.2:80', 'another answer');
    expect(receiver.last('web')!.service.doubt).toBe('');
  });

  it('is shown without what its query calls a token', async () => {
    const { world, provider, receiver, ids, failing, lines } = await start(
      json(group('10.0.0.1:80')),
      { query: '&token=s3cr3t' },
    );
    await receiver.until(() => ids() === '10.0.0.1:80', 'the first answer');
    expect(world.requests[0]!.url).toBe('/sd?env=test&token=s3cr3t');
    world.answer = status(500);
    await failing('answered 500');
    const said = JSON.stringify([provider.status(), lines, receiver.all]);
    expect(said).toContain('/sd?env=test&token=***');
    expect(said).not.toContain('s3cr3t');
  });

  it('is told its ETag, and 304 changes nothing', async () => {
    const { world, receiver, ids, polls } = await start((request, response) => {
      if (request.headers['if-none-match'] === '"1"') return void response.writeHead(304).end();
      response.setHeader('etag', '"1"');
      response.end(JSON.stringify(group('10.0.0.1:80')));
    });
    await receiver.until(() => ids() === '10.0.0.1:80', 'the first answer');
    await polls(3);
    expect(world.requests.at(-1)!.headers['if-none-match']).toBe('"1"');
    expect(receiver.all).toHaveLength(1);
  });

  it.each([
    ['500', status(500), 'answered 500'],
    ['404', status(404), 'answered 404'],
    ['a redirect', status(302), 'answered 302'],
    ['what is no JSON', (_: unknown, response: ServerResponse) => response.end('<html>'), 'JSON'],
    ['what is no list', json({ targets: [] }), 'expected a list of maps'],
    [
      'a cut',
      (_: unknown, response: ServerResponse) => {
        response.writeHead(200, { 'content-length': 100 });
        response.write('[', () => response.destroy());
      },
      '',
    ],
  ] as [string, Answer, string][])('that answers %s leaves what it said', async (_, bad, text) => {
    const { world, provider, receiver, ids, failing, polls } = await start(
      json(group('10.0.0.1:80')),
    );
    await receiver.until(() => ids() === '10.0.0.1:80', 'the first answer');
    const { length } = receiver.all;
    world.answer = bad;
    await failing(text);
    await polls(2);
    expect(receiver.all).toHaveLength(length);
    expect(provider.status().isSynced).toBe(true);
  });

  it('is doubted in what it lacks after a failure, and believed when it says so again', async () => {
    const { world, receiver, ids, failing } = await start(
      json(group('10.0.0.1:80', '10.0.0.2:80')),
    );
    await receiver.until(() => ids() !== '', 'the first answer');
    world.answer = status(503);
    await failing('503');
    world.answer = json(group('10.0.0.1:80'));
    await receiver.until(() => ids() === '10.0.0.1:80', 'the answer after');
    const doubts = () =>
      receiver
        .about('web')
        .map(({ update }) => (update.kind === 'upsert' ? update.service.doubt : 'gone'));
    await receiver.until(() => doubts().at(-1) === '', 'the doubt is over');
    expect(doubts()).toEqual(['', 'first answer after a failure', '']);
  });

  it('is doubted when all is gone at once', async () => {
    const { world, receiver, ids } = await start(json(group('10.0.0.1:80')));
    await receiver.until(() => ids() !== '', 'the first answer');
    world.answer = json([]);
    await receiver.until(() => receiver.last('web')?.service.doubt === '' && ids() === '', 'empty');
    expect(
      receiver
        .about('web')
        .map(({ update }) => (update.kind === 'upsert' ? update.service.doubt : 'gone')),
    ).toEqual(['', 'the list is empty', '']);
  });

  it('that is silent is given up in time', async () => {
    const { provider, failing } = await start(() => {});
    await failing('no whole answer within 1000 ms');
    expect(provider.status().isSynced).toBe(false);
  });

  it('other than 200 is not read to its end', async () => {
    let written = 0;
    const { failing } = await start((_, response) => {
      response.writeHead(500);
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(BOUNDS.targetError.max))) {
          written += BOUNDS.targetError.max;
        }
        response.once('drain', more);
      };
      more();
    });
    await failing('answered 500');
    // What kernels keep, and nothing near an end that never comes.
    expect(written).toBeLessThan(64 * 1024 ** 2);
  });

  it('with more groups than are taken leaves what was', async () => {
    const { world, receiver, ids, failing } = await start(json(group('10.0.0.1:80')));
    await receiver.until(() => ids() !== '', 'the first answer');
    world.answer = json(Array.from({ length: BOUNDS.targetGroups.max + 1 }, () => ({})));
    await failing('100,000');
    expect(ids()).toBe('10.0.0.1:80');
  });

  // Bounds: targetAnswer
  it('that sends more than is taken leaves what was', async () => {
    const { world, receiver, ids, failing } = await start(json(group('10.0.0.1:80')));
    await receiver.until(() => ids() !== '', 'the first answer');
    world.answer = (_, response) => response.end(Buffer.alloc(9 * 1024 ** 2, ' '));
    await failing('answered more than');
    expect(ids()).toBe('10.0.0.1:80');
  });
});
