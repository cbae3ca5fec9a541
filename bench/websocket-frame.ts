// Text frames of one fixed size (RFC 6455 section 5.2), for a benchmark that wants to cost little itself.

export const PAYLOAD_BYTES = 100;
const FIN_TEXT = 0x81;
const MASKED = 0x80;
const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);

/** As a client sends it. */
export const clientFrame = Buffer.concat([
  Buffer.from([FIN_TEXT, MASKED | PAYLOAD_BYTES]),
  MASK,
  Buffer.alloc(PAYLOAD_BYTES, 'm').map((byte, i) => byte ^ MASK[i % 4]!),
]);

/** As a server sends the same text. */
export const serverFrame = Buffer.concat([
  Buffer.from([FIN_TEXT, PAYLOAD_BYTES]),
  Buffer.alloc(PAYLOAD_BYTES, 'm'),
]);
