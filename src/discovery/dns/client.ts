// Asks DNS servers, the next one where one fails. What answers is asked again next time.
import { CodedError, codeOf, messageOf } from '../../base/coded-error.ts';
import { formatHostPort } from '../../base/host-text.ts';
import type { Logger } from '../../base/log.ts';
import { BOUNDS } from '../../model/bounds.ts';
import type { DnsServer, DnsSettings } from '../../model/registries/dns.ts';
import type { Resolved } from '../host-names.ts';
import { addressesIn } from './answer.ts';
import {
  type DnsMessage,
  type QuestionType,
  questionBytes,
  readMessage,
  TYPES,
} from './message.ts';
import type { Wire } from './wire.ts';

const ID_BYTES = 2;
const NXDOMAIN = 3;
const CODES: Readonly<Record<number, string>> = {
  1: 'FORMERR',
  2: 'SERVFAIL',
  4: 'NOTIMP',
  5: 'REFUSED',
};

export interface Answered {
  readonly message: DnsMessage;
  /** The name is not there, whatever type is asked for. */
  readonly isNoName: boolean;
  /** Another server was asked before, and failed. */
  readonly hasFailedOver: boolean;
}

export interface DnsClientOptions {
  readonly settings: DnsSettings;
  readonly log: Logger;
  readonly wire: Wire;
}

export class DnsClient {
  private readonly options: DnsClientOptions;
  /** Index of the server that answered last. */
  private current = 0;

  constructor(options: DnsClientOptions) {
    this.options = options;
  }

  /** Where it asks now. */
  get address(): string {
    const { address, port } = this.options.settings.servers[this.current]!;
    return formatHostPort(address, port);
  }

  /** Throws CodedError, or the system's error, of the last server where none answers. */
  async ask(name: string, type: QuestionType): Promise<Answered> {
    const { servers } = this.options.settings;
    const first = this.current;
    for (let i = 0; ; i += 1) {
      const at = (first + i) % servers.length;
      try {
        const message = await this.askOne(servers[at]!, name, type);
        this.prefer(at);
        return { message, isNoName: message.code === NXDOMAIN, hasFailedOver: i > 0 };
      } catch (error) {
        if (i === servers.length - 1) throw named(error, servers[at]!);
      }
    }
  }

  /** Addresses of a host: IPv4 where there are any, else IPv6; none where the host is not there. */
  async addresses(name: string): Promise<Resolved & { readonly hasFailedOver: boolean }> {
    const four = await this.ask(name, 'A');
    const byFour = addressesIn(four.message, name);
    const { hasFailedOver } = four;
    if (byFour.list.length > 0 || four.isNoName) {
      return { addresses: byFour.list, ttlMs: byFour.ttl * 1000, hasFailedOver };
    }
    const six = await this.ask(name, 'AAAA');
    const { list, ttl } = addressesIn(six.message, name);
    return {
      addresses: list,
      // An address of the other kind may be there when the first answer is too old.
      ttlMs: Math.min(ttl, byFour.ttl) * 1000,
      hasFailedOver: hasFailedOver || six.hasFailedOver,
    };
  }

  close(): void {
    this.options.wire.close();
  }

  private prefer(at: number): void {
    if (at === this.current) return;
    this.current = at;
    this.options.log.warn({ registry: 'dns', address: this.address }, 'another DNS server is used');
  }

  private async askOne(server: DnsServer, name: string, type: QuestionType): Promise<DnsMessage> {
    const { settings, wire } = this.options;
    const { transport, timeoutMs } = settings;
    const id = wire.newId();
    const question = questionBytes(id, name, type);
    const isAnswer = answerTo({ id, name, type });
    const asking = { server, question, timeoutMs, isAnswer };
    let message = readMessage(await wire.ask({ ...asking, transport }));
    if (message.isTruncated && transport === 'udp') {
      message = readMessage(await wire.ask({ ...asking, transport: 'tcp' }));
    }
    if (!isReply(message, { id, name, type })) {
      throw new CodedError('bad-message', 'it answered another question');
    }
    if (message.isTruncated) throw new CodedError('truncated', 'the answer is cut');
    if (message.code !== 0 && message.code !== NXDOMAIN) {
      const text = CODES[message.code] ?? `code ${message.code}`;
      throw new CodedError(text.toLowerCase(), `answered ${text} for ${type} ${name}`);
    }
    return message;
  }
}

interface Question {
  readonly id: number;
  readonly name: string;
  readonly type: QuestionType;
}

function isReply(message: DnsMessage, { id, name, type }: Question): boolean {
  if (message.id !== id || !message.isResponse) return false;
  const { questions, code } = message;
  // Some servers leave the question out of an error.
  if (questions.length === 0) return code !== 0 && code !== NXDOMAIN;
  const [only] = questions;
  return questions.length === 1 && only!.name === name && only!.type === TYPES[type];
}

/**
 * Whether a datagram is the reply; one that can't be read is none. Of those with another number nothing is
 * read: whoever does not know it is not listened to.
 */
function answerTo(question: Question): (bytes: Buffer) => boolean {
  let others = 0;
  return (bytes) => {
    if (bytes.length < ID_BYTES || bytes.readUInt16BE() !== question.id) return false;
    if (fits(bytes, question)) return true;
    others += 1;
    const { max } = BOUNDS.dnsOthers;
    if (others <= max) return false;
    throw new CodedError('bad-message', `sent more than ${max} datagrams that answer nothing`);
  };
}

function fits(bytes: Buffer, question: Question): boolean {
  try {
    return isReply(readMessage(bytes), question);
  } catch {
    return false;
  }
}

function named(error: unknown, { address, port }: DnsServer): CodedError {
  const message = `${formatHostPort(address, port)}: ${messageOf(error)}`;
  return new CodedError(codeOf(error) || 'failed', message, { cause: error });
}
