// The numbers of RFC 9113: frame types, flags, error codes and settings.

export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Flags; endStream and ack are the same bit of different frames. */
export const Flag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const;

export const ErrorCode = {
  noError: 0,
  protocolError: 1,
  internalError: 2,
  flowControlError: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSizeError: 6,
  refusedStream: 7,
  cancel: 8,
  compressionError: 9,
  connectError: 10,
  enhanceYourCalm: 11,
  inadequateSecurity: 12,
  http11Required: 13,
} as const;

export const SettingId = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
  /** RFC 8441 section 3. */
  enableConnectProtocol: 8,
} as const;

/** Bytes of a frame's header (section 4.1). */
export const FRAME_HEADER_BYTES = 9;
/** What every peer takes as a frame's payload, and what we take (section 4.2). */
export const FRAME_BYTES_MAX = 16_384;
/** Of streams and of the connection, before any setting (section 6.9.2). */
export const DEFAULT_WINDOW = 65_535;
/** Largest window, and largest stream id. */
export const MAX_31 = 0x7fff_ffff;
/** HPACK tables before any setting (section 6.5.2). */
export const DEFAULT_TABLE_BYTES = 4096;

/** What a client sends first (section 3.4). */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** Its first line, which an HTTP/1.1 parser sees as a request of another version. */
export const PREFACE_LINE_BYTES = 16;

/** The name of an error code, for logs. */
export function errorName(code: number): string {
  return NAMES[code] ?? `error ${code}`;
}

const NAMES = Object.entries(ErrorCode)
  .sort(([, a], [, b]) => a - b)
  .map(([name]) => name.replace(/[A-Z]/g, '_$&').toUpperCase());
