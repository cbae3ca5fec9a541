// What a session waits for: the datagrams that have no answer yet, how many answers they are to get where
// `udp.responses` counts them, and since when one is due.
// Where answers are not counted, any is taken for that to all that was sent. Where they are, what was
// answered is not known, so all is kept until the last of them.
import { KeptDatagrams } from './kept-datagrams.ts';

/** `udp.responses`: answers to one datagram; null: not counted. */
type Responses = number | null;

/** A kind of KeptDatagrams, and no holder of one: each session makes one object less. */
export class AwaitedAnswers extends KeptDatagrams {
  /** Answers still to come, where they are counted. */
  private owed = 0;
  /** Of the wheel's clock: since when an answer is due; -1: none is. */
  private dueSinceMs = -1;

  /** Its source has sent one more. */
  expect(responses: Responses): void {
    this.owed += responses ?? 0;
  }

  /** Another endpoint is to get `count` datagrams; what the one before it owed is not owed any more. */
  restart(count: number, responses: Responses): void {
    this.owed = count * (responses ?? 0);
    this.dueSinceMs = -1;
  }

  /** One was sent to the endpoint; true where it is the first since the last answer. */
  sent(nowMs: number): boolean {
    if (this.dueSinceMs >= 0) return false;
    this.dueSinceMs = nowMs;
    return true;
  }

  /** An answer has come. */
  answered(responses: Responses, nowMs: number): void {
    this.owed -= 1;
    const isOwed = responses !== null && this.owed > 0;
    this.dueSinceMs = isOwed ? nowMs : -1;
    if (!isOwed) this.clear();
  }

  /** Every answer that was expected has come. */
  isComplete(responses: Responses): boolean {
    return responses !== null && this.owed <= 0;
  }

  /** Since when an answer that is counted on is due, of the wheel's clock; -1: none is. */
  dueSince(responses: Responses): number {
    return responses !== null && responses > 0 ? this.dueSinceMs : -1;
  }
}
