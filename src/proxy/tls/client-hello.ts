// What a TLS client says before anything is encrypted: the ClientHello (RFC 8446 section 4.1.2), in as
// many records as it likes. Strict: what is not exactly one is refused. Of its extensions those are read
// by which a connection is routed: server_name (RFC 6066 section 3) and ALPN (RFC 7301); of an encrypted
// ClientHello that is the outer one. Bytes in, a result out: it knows no socket.

const RECORD_HANDSHAKE = 22;
const HANDSHAKE_CLIENT_HELLO = 1;
const RECORD_HEAD_BYTES = 5;
const RECORD_BYTES_MAX = 16_384;
/** The hello without its records; one with keys against quantum computers has about 2 KiB. */
const HELLO_BYTES_MAX = 16_384;
/** Records that it may lie in: each costs a look. */
const RECORDS_MAX = 64;
/** The most bytes that may have to be read to tell. */
export const CLIENT_HELLO_BYTES_MAX =
  HELLO_BYTES_MAX + RECORDS_MAX * RECORD_HEAD_BYTES + RECORD_BYTES_MAX;

const EXTENSION_SERVER_NAME = 0;
const EXTENSION_ALPN = 16;
const NAME_HOST = 0;
const NAME_PATTERN = /^(?=.{1,253}$)[0-9a-z_-]{1,63}(?:\.[0-9a-z_-]{1,63})*$/;

export type ClientHello =
  /** At least so many bytes are needed in all to tell more. */
  | { readonly kind: 'partial'; readonly needed: number }
  /** The client does not speak TLS. */
  | { readonly kind: 'plain' }
  | { readonly kind: 'bad'; readonly why: string }
  | {
      readonly kind: 'hello';
      /** Lower case; '' for none. */
      readonly serverName: string;
      /** By ALPN, the preferred first. */
      readonly protocols: readonly string[];
    };

class Malformed extends Error {}

/** The ClientHello that `bytes` begin with (RFC 8446 section 4.1.2). What is malformed is `bad`: it does not throw. */
export function readClientHello(bytes: Buffer): ClientHello {
  if (bytes.length === 0) return { kind: 'partial', needed: 1 };
  if (bytes[0] !== RECORD_HANDSHAKE) return { kind: 'plain' };
  try {
    const message = gather(bytes);
    return typeof message === 'number' ? { kind: 'partial', needed: message } : parse(message);
  } catch (error) {
    if (error instanceof Malformed) return { kind: 'bad', why: error.message };
    throw error;
  }
}

/** The message out of its records, or how many bytes are needed for that at least. */
function gather(bytes: Buffer): Buffer | number {
  const pieces: Buffer[] = [];
  let gathered = 0;
  let wanted = 4;
  let at = 0;
  for (let records = 0; ; records += 1) {
    if (records === RECORDS_MAX) throw new Malformed('the ClientHello lies in too many records');
    const body = at + RECORD_HEAD_BYTES;
    if (bytes.length > at && bytes[at] !== RECORD_HANDSHAKE) {
      throw new Malformed('another record comes in the middle of the ClientHello');
    }
    if (bytes.length > at + 1 && bytes[at + 1] !== 3)
      throw new Malformed('the version is not known');
    if (bytes.length < body) return body;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > RECORD_BYTES_MAX)
      throw new Malformed('the length of a record is wrong');
    const end = Math.min(bytes.length, body + length);
    pieces.push(bytes.subarray(body, end));
    gathered += end - body;
    // Its first bytes say how long the message is, also where the record is not whole yet.
    if (wanted === 4 && gathered >= 4) wanted = 4 + lengthOf(pieces);
    else if (gathered > 0) lengthOf(pieces);
    if (gathered >= wanted) return Buffer.concat(pieces).subarray(4, wanted);
    if (bytes.length < body + length)
      return Math.min(body + length, bytes.length + wanted - gathered);
    at = body + length;
  }
}

/** The length that the message's head names; 0 while that is not all there. */
function lengthOf(pieces: readonly Buffer[]): number {
  const head = Buffer.concat(pieces).subarray(0, 4);
  if (head[0] !== HANDSHAKE_CLIENT_HELLO)
    throw new Malformed('the first message is no ClientHello');
  if (head.length < 4) return 0;
  const length = head.readUIntBE(1, 3);
  if (length > HELLO_BYTES_MAX) throw new Malformed(`a ClientHello of ${length} bytes is too long`);
  return length;
}

/** Reads fields one after the other; throws Malformed beyond the end. */
class Fields {
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.at === this.bytes.length;
  }

  number(size: 1 | 2): number {
    const bytes = this.take(size);
    return size === 1 ? bytes[0]! : bytes.readUInt16BE(0);
  }

  take(count: number): Buffer {
    const end = this.at + count;
    if (end > this.bytes.length) throw new Malformed('a field of the ClientHello is cut off');
    const taken = this.bytes.subarray(this.at, end);
    this.at = end;
    return taken;
  }

  /** Bytes with their count before them. */
  counted(size: 1 | 2, min: number): Buffer {
    const count = this.number(size);
    if (count < min) throw new Malformed('a field of the ClientHello is too short');
    return this.take(count);
  }
}

function parse(message: Buffer): ClientHello {
  const fields = new Fields(message);
  if (fields.take(2)[0] !== 3) throw new Malformed('the version is not known');
  fields.take(32);
  if (fields.counted(1, 0).length > 32) throw new Malformed('the session id is too long');
  if (fields.counted(2, 2).length % 2 !== 0)
    throw new Malformed('the list of ciphers is malformed');
  fields.counted(1, 1);
  // TLS 1.2 may have no extensions at all.
  const extensions = fields.isAtEnd ? new Map<number, Buffer>() : readExtensions(fields);
  const name = extensions.get(EXTENSION_SERVER_NAME);
  const alpn = extensions.get(EXTENSION_ALPN);
  const serverName = name === undefined ? '' : readServerName(name);
  return { kind: 'hello', serverName, protocols: alpn === undefined ? [] : readProtocols(alpn) };
}

function readExtensions(fields: Fields): Map<number, Buffer> {
  const list = new Fields(fields.counted(2, 0));
  if (!fields.isAtEnd) throw new Malformed('something follows the extensions');
  const found = new Map<number, Buffer>();
  while (!list.isAtEnd) {
    const type = list.number(2);
    if (found.has(type)) throw new Malformed('an extension comes twice');
    found.set(type, list.counted(2, 0));
  }
  return found;
}

function readServerName(bytes: Buffer): string {
  const outer = new Fields(bytes);
  const list = new Fields(outer.counted(2, 1));
  if (!outer.isAtEnd) throw new Malformed('the server name is malformed');
  // There is one kind of name, and one name of a kind.
  if (list.number(1) !== NAME_HOST) throw new Malformed('the kind of server name is not known');
  const name = list.counted(2, 1).toString('latin1').toLowerCase();
  if (!list.isAtEnd) throw new Malformed('there is more than one server name');
  if (!NAME_PATTERN.test(name)) throw new Malformed('the server name is no host name');
  return name;
}

function readProtocols(bytes: Buffer): string[] {
  const outer = new Fields(bytes);
  const list = new Fields(outer.counted(2, 2));
  if (!outer.isAtEnd) throw new Malformed('the list of protocols is malformed');
  const protocols: string[] = [];
  while (!list.isAtEnd) protocols.push(list.counted(1, 1).toString('latin1'));
  return protocols;
}
