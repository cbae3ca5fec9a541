// What the peer says in SETTINGS (RFC 9113 section 6.5.2).
import {
  DEFAULT_TABLE_BYTES,
  DEFAULT_WINDOW,
  ErrorCode,
  FRAME_BYTES_MAX,
  MAX_31,
  SettingId,
} from './protocol.ts';

const FRAME_BYTES_LIMIT = 2 ** 24 - 1;

export class PeerSettings {
  tableBytes = DEFAULT_TABLE_BYTES;
  initialWindow = DEFAULT_WINDOW;
  /** Streams that we may have open there. */
  maxStreams = Number.POSITIVE_INFINITY;
  /** A server takes extended CONNECTs (RFC 8441). */
  takesTunnels = false;

  /** Takes the pairs in bytes[start,end); returns an error code, or 0. `isClient`: we are. */
  read(bytes: Buffer, start: number, end: number, isClient: boolean): number {
    for (let at = start; at < end; at += 6) {
      const fault = this.set(bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2), isClient);
      if (fault !== ErrorCode.noError) return fault;
    }
    return ErrorCode.noError;
  }

  private set(id: number, value: number, isClient: boolean): number {
    switch (id) {
      case SettingId.headerTableSize:
        this.tableBytes = value;
        break;
      case SettingId.enablePush:
        // A server has nothing to say of it but 0.
        if (value > (isClient ? 0 : 1)) return ErrorCode.protocolError;
        break;
      case SettingId.maxConcurrentStreams:
        this.maxStreams = value;
        break;
      case SettingId.initialWindowSize:
        if (value > MAX_31) return ErrorCode.flowControlError;
        this.initialWindow = value;
        break;
      case SettingId.maxFrameSize:
        // What we send fits the smallest.
        if (value < FRAME_BYTES_MAX || value > FRAME_BYTES_LIMIT) return ErrorCode.protocolError;
        break;
      case SettingId.enableConnectProtocol:
        // RFC 8441 section 3: 0 or 1, and never 0 again.
        if (value > 1 || (this.takesTunnels && value === 0)) return ErrorCode.protocolError;
        this.takesTunnels = value === 1;
        break;
    }
    return ErrorCode.noError;
  }
}
