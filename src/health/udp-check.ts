// A check by datagrams: one question from a socket of its own, which is connected, so that answers of
// anyone else are no answers, and a refusal of the host (ICMP port unreachable) is seen.
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { formatDuration } from '../base/duration.ts';
import type { HealthCheck } from '../model/service.ts';
import { showBytes } from './conversation.ts';
import { searchFor, shownExpectation } from './expectation.ts';
import { type CheckOutcome, type CheckTarget, failed } from './outcome.ts';
import { dnsQuestion, dnsVerdict } from './protocols/dns.ts';

/** What is sent, what an answer means (null: it is none), and what it means that none comes. */
interface Question {
  readonly bytes: Buffer;
  readonly judge: (answer: Buffer) => CheckOutcome | null;
  readonly isSilenceGood: boolean;
}

/** Resolves with the outcome within `timeoutMs` of the check; `signal` gives it up. */
export function checkUdp(
  check: HealthCheck,
  { address, port }: CheckTarget,
  signal: AbortSignal,
): Promise<CheckOutcome> {
  const { bytes, judge, isSilenceGood } = check.type === 'dns' ? dns(check) : plain(check);
  const within = formatDuration(check.timeoutMs);
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    let isOver = false;
    const finish = (outcome: CheckOutcome): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.close();
      resolve(outcome);
    };
    const onAbort = (): void => finish({ isGood: false, text: 'given up' });
    const timer = setTimeout(() => {
      finish(
        isSilenceGood
          ? { isGood: true, text: `not refused within ${within}` }
          : { isGood: false, text: `no answer within ${within}` },
      );
    }, check.timeoutMs);
    signal.addEventListener('abort', onAbort);
    socket.on('error', (error) => finish(refusal(error)));
    socket.on('message', (answer) => {
      const verdict = judge(answer);
      if (verdict !== null) finish(verdict);
    });
    try {
      socket.connectSync(port, address);
    } catch (error) {
      finish(failed(error));
      return;
    }
    socket.send(bytes, (error) => {
      if (error !== null) finish(refusal(error));
    });
  });
}

function refusal(error: NodeJS.ErrnoException): CheckOutcome {
  if (error.code === 'ECONNREFUSED') return { isGood: false, text: 'port unreachable' };
  return failed(error);
}

function dns({ question }: HealthCheck): Question {
  const bytes = dnsQuestion(question);
  return { bytes, judge: (answer) => dnsVerdict(bytes, answer, question), isSilenceGood: false };
}

function plain({ send, expect }: HealthCheck): Question {
  const bytes = Buffer.from(send, 'latin1');
  if (expect === null) {
    const judge = (answer: Buffer) => ({ isGood: true, text: `answered ${showBytes(answer)}` });
    return { bytes, judge, isSilenceGood: true };
  }
  const judge = (answer: Buffer): CheckOutcome => {
    const search = searchFor(expect);
    if (search.push(answer) || search.end()) {
      return { isGood: true, text: `answered ${showBytes(answer)}` };
    }
    const text = `expected ${shownExpectation(expect)}, got ${showBytes(answer)}`;
    return { isGood: false, text };
  };
  return { bytes, judge, isSilenceGood: false };
}
