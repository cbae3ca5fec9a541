// Messages of PostgreSQL's protocol: a letter, a length that counts itself, and the body.
import type { Conversation } from '../conversation.ts';
import { CheckFailure } from '../outcome.ts';

/** One message: its type, and what follows the length. */
export interface Message {
  readonly type: string;
  readonly body: Buffer;
}

/** A message of ours. */
export function frame(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

/** The next message of the server. Throws CheckFailure where it is none. */
export async function message(conversation: Conversation): Promise<Message> {
  const head = await conversation.bytes(5);
  const type = head.toString('latin1', 0, 1);
  const length = head.readInt32BE(1);
  if (length < 4 || !/[A-Za-z0-9]/.test(type)) throw new CheckFailure('does not speak PostgreSQL');
  const body = await conversation.bytes(length - 4);
  if (type === 'R' && body.length < 4) throw new CheckFailure('does not speak PostgreSQL');
  return { type, body };
}

/** The code and text of an ErrorResponse: fields of a letter and a text that ends with NUL. */
export function errorOf({ body }: Message): { readonly code: string; readonly text: string } {
  const fields = new Map(
    body
      .toString('utf8')
      .split('\0')
      .map((field) => [field[0] ?? '', field.slice(1)]),
  );
  const code = fields.get('C') ?? '';
  return { code, text: `${fields.get('M') ?? 'error'} (${code})`.slice(0, 200) };
}
