// A whole connection without sockets: our server and our client against each other and against Node's,
// whatever the bytes are split into, and the rules that need a sequence of frames.
import {
  type ClientHttp2Session,
  connect,
  createServer,
  type Http2Server,
  type ServerHttp2Stream,
} from 'node:http2';
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HeadText } from '../../src/http2/head-text.ts';
import { ErrorCode, Flag, FrameType } from '../../src/http2/protocol.ts';
import type { SessionOptions, SessionOwner } from '../../src/http2/session/session-owner.ts';
import { Session } from '../../src/http2/session.ts';
import type { Content, Stream, StreamUser } from '../../src/http2/stream.ts';
import { block, CLIENT_PREFACE, frame, GET, POST, SETTINGS, uint32 } from '../support/http2.ts';

const BOUNDS = { headBytes: 32_768, fieldCount: 100 };

/** What came on a stream. */
class Log implements StreamUser {
  head = '';
  body = '';
  trailers = '';
  interims: number[] = [];
  ending: 'open' | 'end' | `reset ${number}` | `fault ${string}` = 'open';
  drains = 0;
  onEnded: (() => void) | null = null;

  onHead(_stream: Stream, text: HeadText, isLast: boolean): void {
    if (text.status < 200) this.interims.push(text.status);
    else this.head = text.writer.view().toString('latin1');
    if (isLast) this.over('end');
  }

  onData(_stream: Stream, { base, from, to }: Content, isLast: boolean): void {
    this.body += base.toString('latin1', from, to);
    if (isLast) this.over('end');
  }

  onEnd(_stream: Stream, trailers: string): void {
    this.trailers = trailers;
    this.over('end');
  }

  onDrain(): void {
    this.drains += 1;
  }

  onReset(_stream: Stream, code: number): void {
    this.over(`reset ${code}`);
  }

  onFault(_stream: Stream, why: string): void {
    this.over(`fault ${why}`);
  }

  over(ending: Log['ending']): void {
    this.ending = ending;
    this.onEnded?.();
  }
}

/** One end; what it has to say is taken by `take`. */
class End implements SessionOwner {
  readonly session: Session;
  readonly requests: { stream: Stream; log: Log }[] = [];
  fault = '';
  malformed: string[] = [];
  goaways = 0;
  onRequestMade: ((stream: Stream, log: Log) => void) | null = null;

  constructor(options: Partial<SessionOptions> = {}) {
    const plain = { isServer: true, streams: 100, streamWindow: 65_535, connectionWindow: 2 ** 20 };
    const rest = { text: new HeadText(), workMax: 1e6, nowMs: () => 0 };
    const all = { ...plain, ...rest, ...options };
    this.session = new Session(this, all, BOUNDS);
  }

  onRequest(stream: Stream, text: HeadText, isLast: boolean): void {
    const log = new Log();
    log.head = text.writer.view().toString('latin1');
    stream.user = log;
    this.requests.push({ stream, log });
    if (isLast) log.ending = 'end';
    this.onRequestMade?.(stream, log);
  }

  onMalformed(text: HeadText): void {
    this.malformed.push(text.fault);
  }

  onOutput(): void {}
  onFull(): void {}
  onStreamClosed(): void {}

  onGoaway(): void {
    this.goaways += 1;
  }

  onFault(code: number, why: string): void {
    this.fault = `${code} ${why}`;
  }

  take(): Buffer {
    const bytes = Buffer.from(this.session.out.view());
    this.session.out.clear();
    return bytes;
  }

  feed(text: string | Buffer): this {
    const bytes = typeof text === 'string' ? Buffer.from(text, 'latin1') : text;
    this.session.feed(bytes, 0, bytes.length, 0);
    return this;
  }

  /** The frames that it has to say: type, stream, payload. */
  said(): { type: number; id: number; payload: string }[] {
    const bytes = this.take();
    const frames = [];
    for (let at = 0; at < bytes.length; ) {
      const length = bytes.readUIntBE(at, 3);
      const payload = bytes.toString('latin1', at + 9, at + 9 + length);
      frames.push({ type: bytes[at + 3]!, id: bytes.readUInt32BE(at + 5), payload });
      at += 9 + length;
    }
    return frames;
  }

  saidOf(type: number): { id: number; payload: string }[] {
    return this.said().filter((one) => one.type === type);
  }
}

/** A server that has read a client's preface, with nothing left to say. */
function openServer(options: Partial<SessionOptions> = {}): End {
  const end = new End(options).feed(CLIENT_PREFACE + SETTINGS);
  end.take();
  return end;
}

const { endHeaders, endStream } = Flag;
const headers = (id: number, fields: Readonly<Record<string, string>>, flags: number) =>
  frame(FrameType.headers, flags, id, block(fields));
const OK = Buffer.from('HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n');

function respond(end: End, stream: Stream, body: string, trailers = ''): void {
  end.session.respond(stream, OK, OK.length, body === '' && trailers === '');
  const bytes = Buffer.from(body, 'latin1');
  if (body !== '' || trailers !== '')
    end.session.sendLast(stream, bytes, 0, bytes.length, trailers);
}

describe('a stream', () => {
  it('that was reset is passed over, and counts for the window of the connection', () => {
    const end = openServer({ connectionWindow: 70_000 });
    end.feed(headers(1, POST, endHeaders));
    end.session.reset(end.requests[0]!.stream, ErrorCode.cancel);
    end.feed(frame(FrameType.data, 0, 1, 'x'.repeat(16_000)).repeat(3));
    end.feed(headers(1, { a: 'b' }, endHeaders | endStream));
    expect(end.fault).toBe('');
    expect(end.saidOf(FrameType.windowUpdate)).toEqual([
      { type: FrameType.windowUpdate, id: 0, payload: uint32(48_000) },
    ]);
  });

  it('that was reset before many others is passed over as well', () => {
    const end = openServer();
    for (let id = 1; id < 1000; id += 2) {
      end.feed(headers(id, POST, endHeaders));
      end.session.reset(end.requests.at(-1)!.stream, ErrorCode.cancel);
    }
    end.feed(frame(FrameType.data, endStream, 1, 'late'));
    expect(end.fault).toBe('');
  });

  it('that has ended both ways is not reset, whatever of it was not read yet', () => {
    const end = openServer();
    end.feed(headers(1, POST, endHeaders));
    const { stream } = end.requests[0]!;
    end.session.pause(stream);
    end.feed(frame(FrameType.data, endStream, 1, 'kept'));
    respond(end, stream, 'answer');
    end.session.reset(stream, ErrorCode.cancel);
    expect(end.saidOf(FrameType.rstStream)).toEqual([]);
    expect(end.session.streams.size).toBe(0);
    // It is as closed as any other.
    end.feed(frame(FrameType.windowUpdate, 0, 1, uint32(5)));
    expect(end.fault).toBe('');
  });

  it.each([1, 16_384, 40_000, 65_535])(
    'of %i bytes is ended by its last frame of content',
    (bytes) => {
      const end = openServer();
      end.feed(headers(1, GET, endHeaders | endStream));
      respond(end, end.requests[0]!.stream, 'x'.repeat(bytes));
      const lengths = end.saidOf(FrameType.data).map(({ payload }) => payload.length);
      expect(lengths).toHaveLength(Math.ceil(bytes / 16_384));
      expect(lengths.reduce((sum, length) => sum + length)).toBe(bytes);
      expect(end.session.streams.size).toBe(0);
    },
  );

  it('gives small pieces that came together as one', () => {
    const end = openServer();
    let pieces = 0;
    end.feed(headers(1, POST, endHeaders));
    const { stream, log } = end.requests[0]!;
    const { onData } = Log.prototype;
    log.onData = function (...args) {
      pieces += 1;
      onData.apply(this, args);
    };
    const tiny = [...'abcdefgh'].map((text) => frame(FrameType.data, 0, 1, text)).join('');
    end.feed(tiny + frame(FrameType.ping, 0, 0, '12345678'));
    expect([log.body, pieces]).toEqual(['abcdefgh', 1]);
    end.session.pause(stream);
    end.feed(tiny);
    end.session.resume(stream);
    expect([log.body, pieces]).toEqual(['abcdefghabcdefgh', 2]);
    end.feed(tiny + headers(1, { 'x-t': '1' }, endHeaders | endStream));
    expect([log.body, log.trailers, log.ending]).toEqual([
      'abcdefgh'.repeat(3),
      'x-t: 1\r\n',
      'end',
    ]);
  });

  it('gives large pieces from where they lie, behind small ones that came before', () => {
    const end = openServer();
    end.feed(headers(1, POST, endHeaders));
    const { stream, log } = end.requests[0]!;
    const places: string[] = [];
    const large = 'L'.repeat(5000);
    const bytes = (text: string) => frame(FrameType.data, 0, 1, text);
    const text = ['a', 'b', large, 'c', 'd'].map(bytes).join('');
    const read = Buffer.from(text, 'latin1');
    log.onData = (_stream, { base, from, to }) => {
      places.push(
        `${base === read ? 'there' : 'kept'} ${base.toString('latin1', from, to)[0]} ${to - from}`,
      );
      // What is paused by a small piece gets nothing more.
      if (places.length === 4) end.session.pause(stream);
    };
    end.session.feed(read, 0, read.length, 0);
    expect(places).toEqual(['kept a 2', 'there L 5000', 'kept c 2']);
    end.session.feed(read, 0, read.length, 0);
    expect(places.slice(3)).toEqual(['kept a 2']);
    end.session.resume(stream);
    expect(places.slice(4).map((one) => one.split(' ').at(-1))).toEqual(['5002']);
  });

  it('needs no fresh memory for each small message with trailers', () => {
    const end = openServer();
    const places = new Set<Buffer>();
    for (let id = 1; id < 200; id += 2) {
      const trailers = headers(id, { 'x-t': '1' }, endHeaders | endStream);
      end.onRequestMade = (_stream, log) => {
        log.onData = (stream, piece, isLast) => {
          places.add(piece.base);
          Log.prototype.onData.call(log, stream, piece, isLast);
        };
      };
      const message = (one: string) => frame(FrameType.data, 0, id, one);
      end.feed(headers(id, POST, endHeaders) + message('one') + message('two') + trailers);
      const { stream, log } = end.requests.at(-1)!;
      expect([log.body, log.ending]).toEqual(['onetwo', 'end']);
      respond(end, stream, '');
      end.take();
    }
    expect(places.size).toBe(1);
  });

  it('that is refused leaves the tables as they are', () => {
    const end = openServer({ streams: 1 });
    const indexed = `\x40\x01a\x01b`;
    end.feed(headers(1, GET, endHeaders));
    end.feed(frame(FrameType.headers, endHeaders, 3, block(GET) + indexed));
    expect(end.saidOf(FrameType.rstStream)).toEqual([
      { type: FrameType.rstStream, id: 3, payload: uint32(ErrorCode.refusedStream) },
    ]);
    end.feed(frame(FrameType.data, endStream, 1));
    respond(end, end.requests[0]!.stream, '');
    end.feed(frame(FrameType.headers, endHeaders | endStream, 5, `${block(GET)}\xbe`));
    expect(end.requests[1]!.log.head).toContain('a: b\r\n');
  });

  it('that the peer resets is answered by no reset', () => {
    const end = openServer();
    end.feed(headers(1, GET, endHeaders | endStream));
    end.feed(frame(FrameType.rstStream, 0, 1, uint32(8)));
    expect(end.requests[0]!.log.ending).toBe('reset 8');
    expect(end.said()).toEqual([]);
    expect(end.session.streams.size).toBe(0);
  });
});

describe('windows', () => {
  it('are kept for a stream and for the connection', () => {
    const end = openServer();
    end.feed(headers(1, GET, endHeaders | endStream) + headers(3, GET, endHeaders | endStream));
    const [one, other] = end.requests;
    respond(end, one!.stream, 'x'.repeat(100_000));
    expect(sizeOf(end.said(), 1)).toBe(65_535);
    // The connection's window is used up: the other waits for it, not for the first.
    respond(end, other!.stream, 'y'.repeat(100));
    expect(sizeOf(end.said(), 3)).toBe(0);
    end.feed(frame(FrameType.windowUpdate, 0, 0, uint32(200)));
    expect(sizeOf(end.said(), 3)).toBe(100);
    end.feed(frame(FrameType.windowUpdate, 0, 1, uint32(40_000)));
    expect(sizeOf(end.said(), 1)).toBe(100);
    end.feed(frame(FrameType.windowUpdate, 0, 0, uint32(40_000)));
    expect(sizeOf(end.said(), 1)).toBe(34_365);
    expect(one!.log.drains).toBe(1);
    expect(end.session.streams.size).toBe(0);
  });

  it('that open later get whole frames, the last of which ends the message', () => {
    const end = openServer();
    end.feed(headers(1, GET, endHeaders | endStream));
    respond(end, end.requests[0]!.stream, 'x'.repeat(100_000));
    end.take();
    const wider = (id: number) => frame(FrameType.windowUpdate, 0, id, uint32(40_000));
    end.feed(wider(1) + wider(0));
    const bytes = end.take();
    // What waited, and nothing for the end alone.
    const lengths = [16_384, 16_384, 34_465 - 2 * 16_384];
    const frames = lengths.map((length, i) =>
      frame(FrameType.data, i === 2 ? endStream : 0, 1, 'x'.repeat(length)),
    );
    expect(bytes.toString('latin1')).toBe(frames.join(''));
    expect(end.session.streams.size).toBe(0);
  });

  it('that a setting makes negative stay closed until they are open again', () => {
    const end = openServer();
    end.feed(headers(1, GET, endHeaders | endStream));
    respond(end, end.requests[0]!.stream, 'x'.repeat(70_000));
    expect(sizeOf(end.said(), 1)).toBe(65_535);
    end.feed(frame(FrameType.settings, 0, 0, `\0\x04${uint32(1000)}`));
    end.feed(frame(FrameType.windowUpdate, 0, 0, uint32(10_000)));
    end.feed(frame(FrameType.windowUpdate, 0, 1, uint32(64_535)));
    expect(sizeOf(end.said(), 1)).toBe(0);
    end.feed(frame(FrameType.windowUpdate, 0, 1, uint32(1)));
    expect(sizeOf(end.said(), 1)).toBe(1);
  });

  it('of a stream that is not read are not opened', () => {
    const end = openServer();
    end.feed(headers(1, POST, endHeaders));
    const { stream, log } = end.requests[0]!;
    end.session.pause(stream);
    end.feed(frame(FrameType.data, 0, 1, 'x'.repeat(16_000)).repeat(4));
    expect(end.saidOf(FrameType.windowUpdate)).toEqual([]);
    expect(log.body).toBe('');
    end.session.resume(stream);
    expect(log.body.length).toBe(64_000);
    expect(end.saidOf(FrameType.windowUpdate)).toEqual([
      { type: FrameType.windowUpdate, id: 1, payload: uint32(64_000) },
    ]);
    end.session.pause(stream);
    end.feed(frame(FrameType.data, 0, 1, 'x'.repeat(16_000)).repeat(5));
    expect(end.fault).toBe(`${ErrorCode.flowControlError} DATA beyond the window of its stream`);
    expect(log.ending).toBe(`reset ${ErrorCode.flowControlError}`);
  });

  it('of the connection end it where they are passed', () => {
    const end = openServer({ connectionWindow: 65_536, streamWindow: 1_000_000 });
    end.feed(headers(1, POST, endHeaders));
    end.feed(frame(FrameType.data, 0, 1, 'x'.repeat(16_000)).repeat(2));
    expect(end.fault).toBe('');
  });
});

function sizeOf(frames: readonly { type: number; id: number; payload: string }[], id: number) {
  return frames
    .filter((one) => one.type === FrameType.data && one.id === id)
    .reduce((sum, { payload }) => sum + payload.length, 0);
}

describe('settings', () => {
  it('are acknowledged, in order with what they change', () => {
    const end = openServer();
    end.feed(frame(FrameType.settings, 0, 0, `\0\x01${uint32(0)}`) + SETTINGS);
    expect(end.said()).toEqual([
      { type: FrameType.settings, id: 0, payload: '' },
      { type: FrameType.settings, id: 0, payload: '' },
    ]);
    end.feed(headers(1, GET, endHeaders | endStream));
    respond(end, end.requests[0]!.stream, '');
    // The next block says first that the table has gone.
    expect(end.said()[0]!.payload.startsWith('\x20')).toBe(true);
  });

  it('answers a PING with what it says', () => {
    const end = openServer().feed(frame(FrameType.ping, 0, 0, 'abcdefgh'));
    expect(end.said()).toEqual([{ type: FrameType.ping, id: 0, payload: 'abcdefgh' }]);
  });
});

describe('a client', () => {
  const request = Buffer.from('GET /x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n');
  const ask = (end: End, log = new Log()) => {
    const head = { bytes: request, end: request.length, scheme: 'http' as const, protocol: '' };
    return { log, stream: end.session.request(log, head, true) };
  };
  const openClient = () => {
    const end = new End({ isServer: false }).feed(SETTINGS);
    end.take();
    return end;
  };

  it.each<[string, Record<string, string>]>([
    ['without a status', { a: 'b' }],
    ['with a status that is none', { ':status': '2000' }],
    ['with 101', { ':status': '101' }],
    ['with a pseudo-field of requests', { ':status': '200', ':path': '/' }],
    ['with Connection', { ':status': '200', connection: 'close' }],
    ['with a name in capitals', { ':status': '200', 'X-A': 'b' }],
  ])('resets the stream of a response %s', (_, fields) => {
    const end = openClient();
    const { log } = ask(end);
    end.take();
    end.feed(headers(1, fields, endHeaders | endStream));
    expect(log.ending).toMatch(/^fault /);
    expect(end.saidOf(FrameType.rstStream)).toEqual([
      { type: FrameType.rstStream, id: 1, payload: uint32(ErrorCode.protocolError) },
    ]);
    expect(end.fault).toBe('');
  });

  // Pieces that came together are told together: what follows in the same read must not undo them.
  it.each([
    ['RST_STREAM', frame(FrameType.rstStream, 0, 1, uint32(ErrorCode.cancel)), ''],
    ['a refusal', frame(FrameType.rstStream, 0, 1, uint32(ErrorCode.refusedStream)), ''],
    ['GOAWAY', frame(FrameType.goaway, 0, 0, uint32(0) + uint32(ErrorCode.noError)), ''],
    ['trailers once more', headers(1, { 'x-t': '2' }, endHeaders | endStream), ''],
    ['content', frame(FrameType.data, 0, 1, 'more'), ''],
    ['the end of the connection', frame(FrameType.data, 0, 0, 'odd'), 'does not belong'],
  ])('keeps an answer that is whole, whatever follows it: %s', (_, last, fault) => {
    const end = openClient();
    const { log } = ask(end);
    const pieces = ['one', 'two'].map((text) => frame(FrameType.data, 0, 1, text)).join('');
    const trailers = headers(1, { 'x-t': '1' }, endHeaders | endStream);
    end.feed(headers(1, { ':status': '200' }, endHeaders) + pieces + trailers + last);
    expect([log.body, log.trailers, log.ending]).toEqual(['onetwo', 'x-t: 1\r\n', 'end']);
    expect(end.fault).toContain(fault);
    expect(end.session.streams.size).toBe(0);
    // It had ended both ways.
    expect(end.saidOf(FrameType.rstStream)).toEqual([]);
  });

  it('opens no more streams than the server takes, and none after its GOAWAY', () => {
    const end = new End({ isServer: false });
    end.feed(frame(FrameType.settings, 0, 0, `\0\x03${uint32(1)}`));
    const { log } = ask(end);
    expect(ask(end).stream).toBeNull();
    end.feed(headers(1, { ':status': '204' }, endHeaders | endStream));
    expect(log.ending).toBe('end');
    const second = ask(end);
    end.feed(frame(FrameType.goaway, 0, 0, uint32(1) + uint32(0)));
    // Not worked on: it may be sent again.
    expect(second.log.ending).toBe('reset 0');
    expect(ask(end).stream).toBeNull();
    expect(end.goaways).toBe(1);
  });
});

/** A pair of streams in memory, each of which gives what is written to the other, in pieces. */
function pipe(cut: () => number): [Duplex, Duplex] {
  const make = (other: () => Duplex): Duplex =>
    new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        for (let at = 0; at < chunk.length; ) {
          const to = Math.min(chunk.length, at + cut());
          other().push(chunk.subarray(at, to));
          at = to;
        }
        done();
      },
      final(done) {
        other().push(null);
        done();
      },
    });
  const pair: Duplex[] = [];
  pair.push(
    make(() => pair[1]!),
    make(() => pair[0]!),
  );
  return [pair[0]!, pair[1]!];
}

/** Our end on a stream. */
function attach(end: End, duplex: Duplex): void {
  const flush = () => {
    const bytes = end.take();
    if (bytes.length > 0) duplex.write(bytes);
  };
  duplex.on('data', (bytes: Buffer) => {
    // Each piece comes in a turn of its own, with all the work that a turn may do.
    end.session.work = 0;
    end.feed(Buffer.from(bytes));
    flush();
  });
  duplex.on('error', () => {});
  flush();
}

const message = fc.record({
  path: fc.stringMatching(/^\/[a-z0-9]{0,30}$/),
  fields: fc.dictionary(
    fc.stringMatching(/^x-[a-z]{1,8}$/),
    fc.stringMatching(/^[a-z0-9]{0,30}$/),
    {
      maxKeys: 4,
    },
  ),
  up: fc.option(fc.nat(150_000)),
  down: fc.nat(150_000),
  hasTrailers: fc.boolean(),
});

describe('beside Node', { timeout: 60_000 }, () => {
  it('our server says what Node asked for, whatever its bytes are split into', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(message, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 40_000 }),
        async (messages, piece) => {
          const [mine, theirs] = pipe(() => piece);
          const end = new End();
          end.onRequestMade = (stream, log) => {
            const index = Number(/x-index: (\d+)/.exec(log.head)![1]);
            const { down, hasTrailers } = messages[index]!;
            const answer = () =>
              respond(end, stream, 'd'.repeat(down), hasTrailers ? 'x-t: 1\r\n' : '');
            log.onEnded = answer;
            if (log.ending === 'end') answer();
          };
          attach(end, mine);
          const client = connect('http://a', { createConnection: () => theirs });
          const got = await Promise.all(messages.map((one, i) => askNode(client, one, i)));
          expect(end.fault).toBe('');
          messages.forEach(({ path, fields, up, down, hasTrailers }, i) => {
            const request = end.requests.find(({ log }) => log.head.includes(`x-index: ${i}\r\n`))!;
            expect(request.log.head).toContain(` ${path} HTTP/1.1\r\n`);
            for (const [name, value] of Object.entries(fields)) {
              expect(request.log.head).toContain(`${name}: ${value}\r\n`);
            }
            expect(request.log.body.length).toBe(up ?? 0);
            expect(got[i]).toEqual({ status: 200, bytes: down, trailer: hasTrailers ? '1' : '' });
          });
          client.destroy();
        },
      ),
      { numRuns: 40 },
    );
  });

  it('our client gets what Node answers, whatever its bytes are split into', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(message, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 40_000 }),
        async (messages, piece) => {
          const [mine, theirs] = pipe(() => piece);
          const server = createServer();
          server.on('stream', (stream, fields) => {
            answerNode(stream as ServerHttp2Stream, messages[Number(fields['x-index'])]!);
          });
          giveConnection(server, theirs);
          const end = new End({ isServer: false });
          attach(end, mine);
          const logs = messages.map((one, i) => sendOurs(end, one, i));
          mine.write(end.take());
          await Promise.all(
            logs.map((log) => new Promise<void>((resolve) => (log.onEnded = resolve))),
          );
          expect(end.fault).toBe('');
          messages.forEach(({ down, hasTrailers, up }, i) => {
            const log = logs[i]!;
            expect(log.head).toContain('HTTP/1.1 200 ');
            expect(log.head).toContain(`x-up: ${up ?? 0}\r\n`);
            expect(log.body.length).toBe(down);
            expect(log.trailers).toBe(hasTrailers ? 'x-t: 1\r\n' : '');
          });
          mine.destroy();
          theirs.destroy();
        },
      ),
      { numRuns: 40 },
    );
  });
});

type Message = typeof message extends fc.Arbitrary<infer T> ? T : never;

function askNode(client: ClientHttp2Session, { path, fields, up }: Message, index: number) {
  const headers = { ...fields, ':path': path, ':method': 'POST', 'x-index': String(index) };
  const stream = client.request(headers, { endStream: up === null });
  if (up !== null) stream.end(Buffer.alloc(up, 'u'));
  const got = { status: 0, bytes: 0, trailer: '' };
  stream.on('response', (head) => {
    got.status = Number(head[':status']);
  });
  stream.on('data', (piece: Buffer) => {
    got.bytes += piece.length;
  });
  stream.on('trailers', (trailers) => {
    got.trailer = String(trailers['x-t']);
  });
  return new Promise<typeof got>((resolve, reject) => {
    stream.on('close', () => resolve(got));
    stream.on('error', reject);
  });
}

function giveConnection(server: Http2Server, duplex: Duplex): void {
  server.emit('connection', duplex);
}

function answerNode(stream: ServerHttp2Stream, { down, hasTrailers }: Message): void {
  let up = 0;
  stream.on('data', (piece: Buffer) => {
    up += piece.length;
  });
  stream.on('error', () => {});
  stream.on('end', () => {
    stream.respond({ ':status': 200, 'x-up': String(up) }, { waitForTrailers: hasTrailers });
    if (hasTrailers) stream.on('wantTrailers', () => stream.sendTrailers({ 'x-t': '1' }));
    stream.end(Buffer.alloc(down, 'd'));
  });
}

function sendOurs(end: End, { path, fields, up }: Message, index: number): Log {
  const log = new Log();
  const lines = Object.entries({ ...fields, 'X-Index': String(index) })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  const bytes = Buffer.from(`POST ${path} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`);
  const head = { bytes, end: bytes.length, scheme: 'http' as const, protocol: '' };
  const stream = end.session.request(log, head, up === null)!;
  if (up !== null) end.session.sendLast(stream, Buffer.alloc(up, 'u'), 0, up, '');
  return log;
}
