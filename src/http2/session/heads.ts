// Header blocks that a session gets: requests where it is a server, responses where it is a client, and
// trailers. Each block is decoded, and judged by what its stream may get (RFC 9113 sections 5.1 and 8).
import { Cost } from '../flood-guard.ts';
import type { FrameReader } from '../frame-reader.ts';
import { HpackDecoder } from '../hpack-decoder.ts';
import { DEFAULT_TABLE_BYTES, ErrorCode, Flag } from '../protocol.ts';
import type { Stream } from '../stream.ts';
import type { Inflow } from './inflow.ts';
import type { HeadBounds } from './session-owner.ts';
import type { StreamTable } from './stream-table.ts';

export class Heads {
  bounds: HeadBounds;
  private readonly table: StreamTable;
  private readonly reader: FrameReader;
  private readonly inflow: Inflow;
  private readonly decoder = new HpackDecoder(DEFAULT_TABLE_BYTES);

  constructor(table: StreamTable, reader: FrameReader, inflow: Inflow, bounds: HeadBounds) {
    this.table = table;
    this.reader = reader;
    this.inflow = inflow;
    this.bounds = bounds;
  }

  /** Takes the block that was read. */
  take(): void {
    const { reader, table } = this;
    const { streamId: id } = reader;
    const isLast = (reader.flags & Flag.endStream) !== 0;
    const stream = table.streams.get(id);
    const isNew = stream === undefined && table.options.isServer && id > table.lastPeerId;
    if (isNew && id % 2 === 0) return table.fail(ErrorCode.protocolError, 'an even stream id');
    if (stream === undefined && !isNew && table.isIdle(id)) {
      return table.fail(ErrorCode.protocolError, 'HEADERS on an idle stream');
    }
    const isFirst = isNew || (stream !== undefined && !stream.hasHead);
    if (!this.decode(isFirst)) return table.fail(ErrorCode.compressionError, 'HPACK');
    if (isNew) this.openRequest(id, isLast);
    else if (stream === undefined) this.takeStray(id);
    else if (stream.isRemoteDone) {
      table.failStream(stream, ErrorCode.streamClosed, 'HEADERS after END_STREAM');
    } else if (stream.hasHead) this.takeTrailers(stream, isLast);
    else this.takeResponse(stream, isLast);
  }

  /** A block is decoded whatever becomes of it: those that follow depend on it (section 4.3). */
  private decode(isFirst: boolean): boolean {
    const { reader, bounds } = this;
    const { options } = this.table;
    const { text } = options;
    const first = options.isServer ? 'request' : 'response';
    text.begin(isFirst ? first : 'trailers', bounds.headBytes, bounds.fieldCount);
    if (!this.decoder.decode(reader.base, reader.start, reader.end, text)) return false;
    text.end();
    return true;
  }

  private takeStray(id: number): void {
    const { table } = this;
    if (table.wasReset(id)) table.charge(Cost.unknown);
    else table.fail(ErrorCode.streamClosed, 'HEADERS on a closed stream');
  }

  private openRequest(id: number, isLast: boolean): void {
    const { table } = this;
    const { options, owner } = table;
    const { text } = options;
    table.lastPeerId = id;
    if (id > table.lastTakenId) return table.charge(Cost.unknown);
    // What is decoded and thrown away is all cost.
    if (text.isTooLarge) table.charge(Cost.tooLarge + text.count / Cost.fieldsPerPoint);
    if (table.isOver) return;
    if (table.streams.size >= options.streams) return table.refuse(id, ErrorCode.refusedStream);
    if (text.fault !== '') {
      table.refuse(id, ErrorCode.protocolError);
      owner.onMalformed(text);
      return;
    }
    const stream = table.add(id, null);
    stream.hasHead = true;
    stream.isRemoteDone = isLast;
    owner.onRequest(stream, text, isLast);
  }

  private takeResponse(stream: Stream, isLast: boolean): void {
    const { table } = this;
    const { text } = table.options;
    const isInterim = text.status < 200;
    if (text.isTooLarge) {
      return table.failStream(stream, ErrorCode.enhanceYourCalm, 'header-too-large');
    }
    if (text.fault !== '' || (isInterim && isLast)) {
      const why = text.fault === '' ? 'an interim response that ends its stream' : text.fault;
      return table.failStream(stream, ErrorCode.protocolError, why);
    }
    stream.hasHead = !isInterim;
    stream.isRemoteDone = isLast;
    stream.user?.onHead(stream, text, isLast);
    table.closeIfDone(stream);
  }

  private takeTrailers(stream: Stream, isLast: boolean): void {
    const { table } = this;
    const { text } = table.options;
    if (!isLast || text.fault !== '') {
      return table.failStream(stream, ErrorCode.protocolError, 'trailers that are none');
    }
    if (text.isTooLarge) {
      return table.failStream(stream, ErrorCode.enhanceYourCalm, 'trailers are too large');
    }
    if (this.inflow.mayContain(stream, 0, true)) this.inflow.endRemote(stream, text.lines);
  }
}
