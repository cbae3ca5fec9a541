// Reads HTTP/1.1 messages as they arrive, for actors. Written apart from the product's parser, simple
// and strict: what it can't read is the product's fault, and throws.

import { bothOf } from '../kernel/bytes.ts';

export class HeadText {
  /** The first line. */
  readonly line: string;
  private readonly text: string;
  private lower = '';

  constructor(text: string) {
    if (!WELL_FORMED.test(text)) throw new Error(`not a head: ${JSON.stringify(text)}`);
    this.text = text;
    this.line = text.slice(0, text.indexOf('\r\n'));
  }

  /** The value of the first field with this lower-case name; '' where it is missing. */
  get(name: string): string {
    const at = this.find(name, 0);
    if (at < 0) return '';
    const start = at + name.length + 3;
    return this.text.slice(start, this.text.indexOf('\r\n', start)).trim();
  }

  count(name: string): number {
    let count = 0;
    for (let at = this.find(name, 0); at >= 0; at = this.find(name, at + 1)) count += 1;
    return count;
  }

  /** Where the line before the first field with this lower-case name ends, from `from` on; or -1. */
  private find(name: string, from: number): number {
    this.lower ||= this.text.toLowerCase();
    return this.lower.indexOf(needles.get(name) ?? needleOf(name), from);
  }
}

/** What is looked for, by the name of a field: a text that is put together is slow to look for. */
const needles = new Map<string, string>();

function needleOf(name: string): string {
  const needle = `\r\n${name}:`;
  needles.set(name, needle);
  return needle;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const WELL_FORMED = /^[^\r\n]+\r\n(?:[!-9;-~]+:[^\r\n\0]*\r\n)*\r\n$/;
/** A head of the product's is never as long. */
const HEAD_MAX = 128 * 1024;

/** How a body ends. `switch`: what follows the head are bytes of a tunnel. */
export type BodyEnd = 'none' | 'framed' | 'close' | 'switch';

export interface MessageSink {
  /** Says what follows; `framed`: as the head's fields say. */
  onHead(head: HeadText): BodyEnd;
  onBody(bytes: Buffer): void;
  /** The message is whole. `trailers` are its lines, each with CRLF. */
  onMessage(trailers: string): void;
  /** Bytes after the switch to a tunnel. */
  onTunnel(bytes: Buffer): void;
}

type State = 'head' | 'length' | 'size' | 'data' | 'data-end' | 'trailers' | 'close' | 'tunnel';

export class HttpReader {
  private readonly sink: MessageSink;
  private state: State = 'head';
  private rest: Buffer | null = null;
  private left = 0;
  private trailers = '';
  private isStopped = false;

  constructor(sink: MessageSink) {
    this.sink = sink;
  }

  /** No message is begun. */
  get isBetween(): boolean {
    return this.state === 'head' && this.rest === null;
  }

  /** The message that is being read ends with the connection. */
  get endsWithConnection(): boolean {
    return this.state === 'close';
  }

  /** What comes from here on are bytes of a tunnel. */
  toTunnel(): void {
    this.state = 'tunnel';
  }

  /** Reads nothing more. */
  stop(): void {
    this.isStopped = true;
  }

  feed(bytes: Buffer): void {
    const data = this.rest === null ? bytes : bothOf(this.rest, bytes);
    this.rest = null;
    let at = 0;
    while (at < data.length && !this.isStopped) {
      const next = this.step(data, at);
      if (next < 0) {
        this.rest = data.subarray(at);
        return;
      }
      at = next;
    }
  }

  /** The connection has ended: a body that lasts until then is whole. */
  end(): void {
    if (this.state !== 'close' || this.isStopped) return;
    this.state = 'head';
    this.sink.onMessage('');
  }

  /** Returns the next offset, or -1: more bytes are needed. */
  private step(data: Buffer, at: number): number {
    switch (this.state) {
      case 'head':
        return this.readHead(data, at);
      case 'length':
      case 'data':
        return this.readCounted(data, at);
      case 'size':
        return this.readSize(data, at);
      case 'data-end':
        if (data.length < at + 2) return -1;
        if (data[at] !== 13 || data[at + 1] !== 10) throw new Error('no CRLF after a chunk');
        this.state = 'size';
        return at + 2;
      case 'trailers':
        return this.readTrailer(data, at);
      case 'close':
        this.sink.onBody(at === 0 ? data : data.subarray(at));
        return data.length;
      case 'tunnel':
        this.sink.onTunnel(at === 0 ? data : data.subarray(at));
        return data.length;
    }
  }

  private readHead(data: Buffer, at: number): number {
    const end = data.indexOf(HEAD_END, at);
    if (end < 0) {
      if (data.length - at > HEAD_MAX) throw new Error('a head without an end');
      return -1;
    }
    const head = new HeadText(data.toString('latin1', at, end + 4));
    const what = this.sink.onHead(head);
    if (what === 'switch') this.state = 'tunnel';
    else if (what === 'none') this.whole('');
    else if (what === 'close') this.state = 'close';
    else this.beginFramed(head);
    return end + 4;
  }

  private beginFramed(head: HeadText): void {
    const coding = head.get('transfer-encoding');
    const length = head.get('content-length');
    if (coding !== '' && length !== '') throw new Error('both lengths');
    if (head.count('content-length') > 1) throw new Error('two lengths');
    if (coding !== '') {
      if (coding !== 'chunked') throw new Error(`transfer coding ${coding}`);
      this.state = 'size';
      return;
    }
    if (!/^\d*$/.test(length)) throw new Error(`length ${length}`);
    this.left = Number(length);
    if (this.left === 0) this.whole('');
    else this.state = 'length';
  }

  private readCounted(data: Buffer, at: number): number {
    const count = Math.min(this.left, data.length - at);
    this.left -= count;
    const isLast = this.left === 0;
    const isChunk = this.state === 'data';
    if (isLast && isChunk) this.state = 'data-end';
    this.sink.onBody(count === data.length ? data : data.subarray(at, at + count));
    if (isLast && !isChunk) this.whole('');
    return at + count;
  }

  private readSize(data: Buffer, at: number): number {
    const end = data.indexOf('\r\n', at, 'latin1');
    if (end < 0) {
      if (data.length - at > 20) throw new Error('a chunk size without an end');
      return -1;
    }
    const text = data.toString('latin1', at, end);
    if (!/^[0-9a-f]{1,8}$/.test(text)) throw new Error(`not a chunk: ${JSON.stringify(text)}`);
    this.left = Number.parseInt(text, 16);
    this.state = this.left === 0 ? 'trailers' : 'data';
    return end + 2;
  }

  private readTrailer(data: Buffer, at: number): number {
    const end = data.indexOf('\r\n', at, 'latin1');
    if (end < 0) return -1;
    if (end === at) {
      const { trailers } = this;
      this.trailers = '';
      this.whole(trailers);
    } else this.trailers += data.toString('latin1', at, end + 2);
    return end + 2;
  }

  private whole(trailers: string): void {
    this.state = 'head';
    this.sink.onMessage(trailers);
  }
}
