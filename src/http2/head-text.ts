// A header block as the head that it would be in HTTP/1.1: a start line, `host`, the fields, an empty
// line. The rest of the proxy knows heads in this form alone, and its parser judges them once more. What
// HTTP/2 forbids beyond that is found here (RFC 9113 sections 8.1.1, 8.2 and 8.3).
// One object is used again and again: what it holds counts until the next `begin`.
import { equalsLower, isToken, TARGET } from '../http1/chars.ts';
import { HeadWriter } from '../http1/head-writer.ts';
import { trailerFate } from '../http1/trailers.ts';
import { Kind } from './field-kind.ts';
import type { FieldSink } from './hpack-decoder.ts';
import { ENTRY_OVERHEAD } from './hpack-table.ts';

export type TextKind = 'request' | 'response' | 'trailers';

/** A pseudo-field, where it lies. */
class Pseudo {
  base: Buffer = NOTHING;
  start = 0;
  end = 0;
  isSet = false;

  set(base: Buffer, start: number, end: number): boolean {
    const isFirst = !this.isSet;
    this.base = base;
    this.start = start;
    this.end = end;
    this.isSet = true;
    return isFirst;
  }

  get length(): number {
    return this.end - this.start;
  }
}

const NOTHING = Buffer.alloc(0);
/** `: ` and CRLF around a value. */
const SEPARATOR_BYTES = 2;
const CRLF_BYTES = 2;
const SLASH = 47;
const ASTERISK = 42;

export class HeadText implements FieldSink {
  /** The head, or of trailers the lines alone. */
  readonly writer = new HeadWriter();
  /** Why it is malformed; '' where it is not. */
  fault = '';
  /** It is larger than was allowed, and not whole. */
  isTooLarge = false;
  /** Fields, those that were left out for want of room included. */
  count = 0;
  /** Response: the status. */
  status = 0;
  /** Request: an extended CONNECT (RFC 8441), written as the upgrade that it is in HTTP/1.1. */
  isTunnel = false;
  private kind: TextKind = 'request';
  private bytesMax = 0;
  private countMax = 0;
  private bytes = 0;
  private hasStarted = false;
  private hasHost = false;
  private readonly method = new Pseudo();
  private readonly scheme = new Pseudo();
  private readonly authority = new Pseudo();
  private readonly path = new Pseudo();
  private readonly protocol = new Pseudo();
  private readonly cookies = new HeadWriter(256);

  /** `bytesMax` bounds names and values as section 6.5.2 counts them, `countMax` their number. */
  begin(kind: TextKind, bytesMax: number, countMax: number): void {
    this.kind = kind;
    this.bytesMax = bytesMax;
    this.countMax = countMax;
    this.bytes = 0;
    this.count = 0;
    this.fault = '';
    this.isTooLarge = false;
    this.status = 0;
    this.hasStarted = kind === 'trailers';
    this.hasHost = false;
    this.method.isSet = false;
    this.scheme.isSet = false;
    this.authority.isSet = false;
    this.path.isSet = false;
    this.protocol.isSet = false;
    this.isTunnel = false;
    this.writer.reset();
    this.cookies.reset();
  }

  onField(base: Buffer, start: number, nameEnd: number, end: number, kind: number): void {
    this.count += 1;
    this.bytes += end - start - SEPARATOR_BYTES - CRLF_BYTES + ENTRY_OVERHEAD;
    if (this.bytes > this.bytesMax || this.count > this.countMax) this.isTooLarge = true;
    if (this.isTooLarge || this.fault !== '') return;
    const valueStart = nameEnd + SEPARATOR_BYTES;
    const valueEnd = end - CRLF_BYTES;
    if (kind >= Kind.method) this.takeSpecial(base, valueStart, valueEnd, kind);
    else {
      if (!this.hasStarted) this.writeStart();
      if (kind === Kind.plain || kind === Kind.contentLength) this.takeLine(base, start, end);
      else if (kind === Kind.cookie && this.kind === 'request') {
        this.takeCookie(base, valueStart, valueEnd);
      } else if (kind === Kind.host && this.kind === 'request') {
        this.takeHost(base, start, valueStart, end);
      } else this.takeLine(base, start, end);
    }
  }

  private takeLine(base: Buffer, start: number, end: number): void {
    if (this.kind === 'trailers') {
      // RFC 9110 section 6.5.1: what would change the message's meaning is left out.
      if (trailerFate(base, start, end - CRLF_BYTES) !== 'kept') return;
    }
    this.writer.copy(base, start, end);
  }

  /** Section 8.2.3: crumbs become one field again. */
  private takeCookie(base: Buffer, start: number, end: number): void {
    this.cookies.text(this.cookies.length === 0 ? 'cookie: ' : '; ');
    this.cookies.copy(base, start, end);
  }

  /** Section 8.3.1: Host says what :authority says, or stands for it. */
  private takeHost(base: Buffer, start: number, valueStart: number, end: number): void {
    const { authority } = this;
    const valueEnd = end - CRLF_BYTES;
    if (this.hasHost) this.fault = 'two Host fields';
    this.hasHost = true;
    if (!authority.isSet) {
      this.writer.copy(base, start, end);
      return;
    }
    const named = authority.base.toString('latin1', authority.start, authority.end);
    if (!equalsLower(base, valueStart, valueEnd, named.toLowerCase())) {
      this.fault = 'Host differs from :authority';
    }
  }

  private takeSpecial(base: Buffer, start: number, end: number, kind: number): void {
    if (kind === Kind.malformed) this.fault = 'a field that is none';
    else if (kind === Kind.connectionSpecific) this.fault = 'a field of an HTTP/1.1 connection';
    else if (this.hasStarted) this.fault = 'a pseudo-field out of its place';
    else if (!this.takePseudo(base, start, end, kind)) {
      this.fault = 'a pseudo-field that is unknown, repeated or misplaced';
    }
  }

  private takePseudo(base: Buffer, start: number, end: number, kind: number): boolean {
    if (this.kind === 'response') return kind === Kind.status && this.takeStatus(base, start, end);
    switch (kind) {
      case Kind.method:
        return this.method.set(base, start, end) && isToken(base, start, end);
      case Kind.scheme:
        return this.scheme.set(base, start, end) && isToken(base, start, end);
      case Kind.authority:
        return this.authority.set(base, start, end);
      case Kind.path:
        return this.path.set(base, start, end);
      case Kind.protocol:
        return this.protocol.set(base, start, end) && isToken(base, start, end);
      default:
        return false;
    }
  }

  /** Three digits, of which 101 is none that HTTP/2 has (section 8.6). */
  private takeStatus(base: Buffer, start: number, end: number): boolean {
    if (this.status !== 0 || end - start !== 3) return false;
    const status = Number(base.toString('latin1', start, end));
    if (!Number.isInteger(status) || status < 100 || status > 599 || status === 101) return false;
    this.status = status;
    return true;
  }

  /** All pseudo-fields have come. */
  private writeStart(): void {
    this.hasStarted = true;
    const { writer } = this;
    if (this.kind === 'response') {
      if (this.status === 0) this.fault = 'no :status';
      writer.text(`HTTP/1.1 ${this.status} \r\n`);
      return;
    }
    if (!this.hasTarget()) {
      this.fault = 'pseudo-fields that do not make a request';
      return;
    }
    const { method, path, authority, protocol } = this;
    const target = path.isSet ? path : authority;
    this.isTunnel = protocol.isSet;
    if (this.isTunnel) writer.text('GET');
    else writer.copy(method.base, method.start, method.end);
    writer.text(' ');
    writer.copy(target.base, target.start, target.end);
    writer.text(' HTTP/1.1\r\n');
    if (!authority.isSet) return;
    writer.text('host: ');
    writer.copy(authority.base, authority.start, authority.end);
    writer.text('\r\n');
    if (!this.isTunnel) return;
    writer.text('connection: upgrade\r\nupgrade: ');
    writer.copy(protocol.base, protocol.start, protocol.end);
    writer.text('\r\n');
  }

  // Section 8.3.1, and of section 8.5 that CONNECT has an authority alone, but for RFC 8441's.
  private hasTarget(): boolean {
    const { method, scheme, authority, path, protocol } = this;
    if (!method.isSet) return false;
    const isConnect = method.base.toString('latin1', method.start, method.end) === 'CONNECT';
    // RFC 8441 section 4: CONNECT with :protocol has all that other requests have.
    if (protocol.isSet) {
      if (!isConnect || !authority.isSet || authority.length === 0) return false;
    } else if (isConnect) {
      return authority.isSet && authority.length > 0 && !scheme.isSet && !path.isSet;
    }
    if (!scheme.isSet || !path.isSet || path.length === 0) return false;
    const first = path.base[path.start];
    if (first === ASTERISK) return path.length === 1;
    if (first !== SLASH) return false;
    for (let at = path.start; at < path.end; at += 1) {
      if (TARGET[path.base[at]!] === 0) return false;
    }
    return true;
  }

  /** The block has ended; look at `fault` and `isTooLarge` then. */
  end(): void {
    if (this.fault !== '' || this.isTooLarge) return;
    if (!this.hasStarted) this.writeStart();
    const { cookies, writer } = this;
    if (cookies.length > 0) {
      cookies.text('\r\n');
      writer.copy(cookies.view(), 0, cookies.length);
    }
    if (this.kind !== 'trailers') writer.text('\r\n');
  }

  /** What was gathered, as text: of trailers. */
  get lines(): string {
    return this.writer.view().toString('latin1');
  }
}
