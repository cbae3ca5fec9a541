// Reads whole HTTP/1.1 messages, for actors and oracles. Written apart from the product's parser,
// simple and strict: what it can't read is the product's fault, and throws.

export interface Message {
  /** The first line. */
  readonly line: string;
  /** By lower-case name; the last one counts. */
  readonly fields: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

const NOTHING = Buffer.alloc(0);

/** Whether no body follows this first line, whatever the fields say. */
export type HasNoBody = (line: string) => boolean;

type Head = Omit<Message, 'body'>;

export class MessageReader {
  private bytes: Buffer = NOTHING;
  private readonly hasNoBody: HasNoBody;
  /** Of the message that is being read, whose body is not whole yet. */
  private head: Head | null = null;
  private chunks: Buffer[] = [];

  /** `hasNoBody` is asked with the first line: answers to HEAD, and statuses without a body. */
  constructor(hasNoBody: HasNoBody) {
    this.hasNoBody = hasNoBody;
  }

  /** Bytes that belong to no whole message yet. */
  get restLength(): number {
    return this.bytes.length;
  }

  add(bytes: Buffer): void {
    this.bytes = this.bytes.length === 0 ? bytes : Buffer.concat([this.bytes, bytes]);
  }

  /** The next whole message; null while it is not whole. */
  take(): Message | null {
    this.head ??= this.readHead();
    const { head } = this;
    const body = head === null ? null : this.readBody(head);
    if (body === null) return null;
    this.head = null;
    return { ...head!, body };
  }

  private readHead(): Head | null {
    const end = this.bytes.indexOf('\r\n\r\n');
    if (end < 0) return null;
    const [line, ...rest] = this.bytes.toString('latin1', 0, end).split('\r\n');
    this.skip(end + 4);
    return { line: line!, fields: new Map(rest.map(fieldOf)) };
  }

  private readBody({ line, fields }: Head): Buffer | null {
    if (this.hasNoBody(line)) return NOTHING;
    if (fields.get('transfer-encoding') === 'chunked') return this.readChunks();
    const length = Number(fields.get('content-length') ?? 0);
    if (this.bytes.length < length) return null;
    const body = this.bytes.subarray(0, length);
    this.skip(length);
    return body;
  }

  private readChunks(): Buffer | null {
    for (;;) {
      const lineEnd = this.bytes.indexOf('\r\n');
      if (lineEnd < 0) return null;
      const text = this.bytes.toString('latin1', 0, lineEnd);
      if (!/^[0-9a-fA-F]{1,8}$/.test(text)) throw new Error(`not a chunk: ${JSON.stringify(text)}`);
      const start = lineEnd + 2;
      const end = start + Number.parseInt(text, 16);
      if (this.bytes.length < end + 2) return null;
      if (this.bytes[end] !== 13 || this.bytes[end + 1] !== 10) {
        throw new Error('a chunk is not followed by CRLF');
      }
      const chunk = this.bytes.subarray(start, end);
      this.skip(end + 2);
      if (chunk.length > 0) {
        this.chunks.push(chunk);
        continue;
      }
      const body = Buffer.concat(this.chunks);
      this.chunks = [];
      return body;
    }
  }

  private skip(count: number): void {
    this.bytes = this.bytes.subarray(count);
  }
}

function fieldOf(line: string): [string, string] {
  const match = /^([!-9;-~]+):[ \t]*(.*?)[ \t]*$/.exec(line);
  if (match === null) throw new Error(`not a field: ${JSON.stringify(line)}`);
  return [match[1]!.toLowerCase(), match[2]!];
}
