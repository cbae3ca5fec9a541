// DNS (RFC 1035): one question, and whether its answer is a good one. Nothing of the answer is read
// beyond its head.
import { randomInt } from 'node:crypto';
import { DNS_TYPES, type DnsQuestion, type HealthCheck } from '../../model/service.ts';
import type { Conversation } from '../conversation.ts';
import { CheckFailure, type CheckOutcome } from '../outcome.ts';

const HEADER_BYTES = 12;
const CLASS_IN = 1;
const RECURSION_DESIRED = 0x0100;
const RESPONSE = 0x8000;
const OPCODE = 0x7800;
const NO_ERROR = 0;
const SERVER_FAILURE = 2;
const CODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'] as const;

/** The bytes of a question with a number of its own. */
export function dnsQuestion({ name, type }: DnsQuestion): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(randomInt(0x1_0000), 0);
  header.writeUInt16BE(RECURSION_DESIRED, 2);
  header.writeUInt16BE(1, 4);
  const labels = name === '' ? [] : name.split('.');
  const parts = labels.map((label) =>
    Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')]),
  );
  return Buffer.concat([header, ...parts, Buffer.from([0, 0, DNS_TYPES[type], 0, CLASS_IN])]);
}

/**
 * What the answer says of the server; null where it is no answer to this question. A name that is
 * asked for has to be there; without one, a server that answers at all is good, unless it has failed.
 */
export function dnsVerdict(
  question: Buffer,
  answer: Buffer,
  { name }: DnsQuestion,
): CheckOutcome | null {
  if (answer.length < HEADER_BYTES || answer.readUInt16BE(0) !== question.readUInt16BE(0))
    return null;
  const flags = answer.readUInt16BE(2);
  if ((flags & RESPONSE) === 0 || (flags & OPCODE) !== 0) return null;
  const code = flags & 0xf;
  const text = `answered ${CODES[code] ?? `RCODE ${code}`}`;
  return { isGood: name === '' ? code !== SERVER_FAILURE : code === NO_ERROR, text };
}

/** By TCP, where each message has its length before it (section 4.2.2). Rejects with CheckFailure. */
export async function speakDns(
  conversation: Conversation,
  { question }: HealthCheck,
): Promise<CheckOutcome> {
  const asked = dnsQuestion(question);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(asked.length);
  conversation.send(Buffer.concat([length, asked]));
  const size = (await conversation.bytes(2)).readUInt16BE();
  const verdict = dnsVerdict(asked, await conversation.bytes(size), question);
  if (verdict === null) throw new CheckFailure('the answer is none to the question');
  return verdict;
}
