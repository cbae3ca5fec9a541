// However the bytes of both sides are cut into pieces, the messages that pass are the same.
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { closePlanes, openPair, request } from '../../support/plane.ts';

afterEach(closePlanes);

const coded = (parts: readonly string[]): string =>
  `${parts.map((part) => `${part.length.toString(16)};x="y"\r\n${part}\r\n`).join('')}0\r\nX-T: 1\r\n\r\n`;

const body = fc.array(
  fc.string({ minLength: 1, maxLength: 30, unit: fc.constantFrom('a', '0', '\r', '\n') }),
  {
    maxLength: 4,
  },
);
const framing = fc.constantFrom('length', 'chunks');
const message = fc.record({ parts: body, framing });
/** Where to cut, as shares of the whole. */
const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });

type Message = { readonly parts: readonly string[]; readonly framing: string };

function fieldsAndBody({ parts, framing: kind }: Message): readonly [string, string] {
  const plain = parts.join('');
  if (kind === 'chunks') return ['Transfer-Encoding: chunked\r\n', coded(parts)];
  return [`Content-Length: ${plain.length}\r\n`, plain];
}

function pieces(text: string, at: readonly number[]): string[] {
  const ends = [...at.map((share) => Math.floor(share * text.length)), text.length].sort(
    (a, b) => a - b,
  );
  return ends.map((end, i) => text.slice(ends[i - 1] ?? 0, end)).filter((piece) => piece !== '');
}

/** Takes the next message from a peer; chunks are joined, for they are framed anew on the way. */
async function takeMessage(peer: {
  until(mark: string): Promise<string>;
  take(count: number): Promise<string>;
}) {
  const head = await peer.until('\r\n\r\n');
  const length = /content-length: (\d+)/i.exec(head);
  if (!head.includes('Transfer-Encoding: chunked')) {
    return { head, body: await peer.take(Number(length?.[1] ?? 0)), trailers: '' };
  }
  let data = '';
  for (;;) {
    const size = Number.parseInt(await peer.until('\r\n'), 16);
    if (size === 0) break;
    data += (await peer.take(size + 2)).slice(0, -2);
  }
  let trailers = '';
  for (let line = await peer.until('\r\n'); line !== '\r\n'; line = await peer.until('\r\n')) {
    trailers += line;
  }
  return { head, body: data, trailers };
}

describe('messages', () => {
  it('pass the same in whatever pieces they come', async () => {
    const { plane, endpoint } = await openPair();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(message, message), { minLength: 1, maxLength: 3 }),
        cuts,
        cuts,
        async (exchanges, clientCuts, endpointCuts) => {
          const client = await plane.client();
          const asked = exchanges.map(([question], i) => {
            const [fields, content] = fieldsAndBody(question);
            return request(`PUT /${i}`, fields, content);
          });
          const sending = client.sendPieces(pieces(asked.join(''), clientCuts));
          const upstream = await endpoint.accept();
          for (const [i, [question, reply]] of exchanges.entries()) {
            const got = await takeMessage(upstream);
            expect(got.head).toContain(`PUT /${i} HTTP/1.1\r\n`);
            expect(got.body).toBe(question.parts.join(''));
            expect(got.trailers).toBe(question.framing === 'chunks' ? 'X-T: 1\r\n' : '');
            const [fields, content] = fieldsAndBody(reply);
            const whole = `HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nX-N: ${i}\r\n${fields}\r\n${content}`;
            await upstream.sendPieces(pieces(whole, endpointCuts));
            expect(await client.head()).toBe('HTTP/1.1 103 Early Hints\r\n\r\n');
            const back = await takeMessage(client);
            expect(back.head).toContain(`X-N: ${i}\r\n`);
            expect(back.body).toBe(reply.parts.join(''));
            expect(back.trailers).toBe(reply.framing === 'chunks' ? 'X-T: 1\r\n' : '');
          }
          await sending;
          expect(upstream.received + client.received).toBe('');
          // The next run gets a connection of its own.
          upstream.end();
          client.end();
          await upstream.ended();
          await plane.quiet();
        },
      ),
      { numRuns: 60, seed: 1 },
    );
  });
});
