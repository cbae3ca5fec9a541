// Which status of gRPC a failure of ours has, for every reason that has an answer.
import { describe, expect, it } from 'vitest';
import { reasons } from '../../../src/model/reason.ts';
import { grpcLines } from '../../../src/proxy/http/grpc.ts';

const statusOf = (code: string): number => {
  const lines = grpcLines(reasons.find((one) => one.code === code)!, '');
  return Number(/^grpc-status: (\d+)\r$/m.exec(lines)![1]);
};

describe('the status of gRPC', () => {
  it.each(reasons.filter(({ status }) => status > 0).map(({ code }) => code))(
    'of %s is a known one',
    (code) => {
      expect([4, 8, 12, 13, 14]).toContain(statusOf(code));
    },
  );

  it('of what would fail again is not the one that clients repeat for', () => {
    for (const code of ['loop', 'target-too-long', 'header-too-large', 'bad-expectation', 'bug'])
      expect(statusOf(code)).not.toBe(14);
  });
});
