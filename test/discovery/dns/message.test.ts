// Messages of DNS: what is written is read again, and what can't be right is refused.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeOf } from '../../../src/base/coded-error.ts';
import { questionBytes, readMessage, TYPES } from '../../../src/discovery/dns/message.ts';
import { BOUNDS } from '../../../src/model/bounds.ts';
import { answerBytes, type ScriptedRecord } from '../../support/scripted-dns.ts';

const asked = { name: 'web.test', type: 'SRV' };
const label = fc.stringMatching(/^[a-z0-9_-]{1,20}$/);
const name = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.'));

const header = (...counts: number[]) =>
  Buffer.from([0, 7, 0x81, 0x80, ...counts.flatMap((count) => [0, count])]);
const reading = (bytes: Buffer) => {
  try {
    return readMessage(bytes);
  } catch (error) {
    return codeOf(error);
  }
};

it('a name is as long as any may be, and no longer', () => {
  const label = Buffer.concat([Buffer.from([63]), Buffer.alloc(63, 'x')]);
  const asks = (bytes: number) => {
    const rest = bytes - 3 * label.length - 2;
    const last = Buffer.concat([Buffer.from([rest]), Buffer.alloc(rest, 'y')]);
    const name = Buffer.concat([label, label, label, last, Buffer.from([0])]);
    return reading(Buffer.concat([header(1, 0, 0, 0), name, Buffer.from([0, 1, 0, 1])]));
  };
  expect(asks(BOUNDS.dnsName.max)).toMatchObject({ questions: [{ type: 1 }] });
  expect(asks(BOUNDS.dnsName.max + 1)).toBeTypeOf('string');
});

describe('a message', () => {
  it('says what was asked', () => {
    fc.assert(
      fc.property(name, fc.integer({ min: 0, max: 0xffff }), (name, id) => {
        expect(readMessage(questionBytes(id, name, 'SRV'))).toMatchObject({
          ...{ id, isResponse: false, code: 0, answers: [] },
          questions: [{ name, type: TYPES.SRV }],
        });
      }),
    );
  });

  it('says what was answered, in each of its parts', () => {
    const answers: ScriptedRecord[] = [
      { name: 'web.test', type: 'CNAME', ttl: 60, data: 'real.test' },
      { name: 'real.test', type: 'SRV', ttl: 5, data: '1 2 8080 one.test' },
    ];
    const additionals: ScriptedRecord[] = [
      { name: 'one.test', type: 'A', ttl: 9, data: '10.0.0.1' },
      { name: 'one.test', type: 'AAAA', ttl: 9, data: 'fd00:0:0:0:0:0:0:1' },
    ];
    const authorities: ScriptedRecord[] = [{ name: 'test', type: 'SOA', ttl: 3, data: '30' }];
    const message = readMessage(
      answerBytes(7, asked, { answers, additionals, authorities, code: 3, isTruncated: true }),
    );
    expect(message).toEqual({
      ...{ id: 7, isResponse: true, isTruncated: true, code: 3 },
      questions: [{ name: 'web.test', type: 33 }],
      answers: [
        { name: 'web.test', ttl: 60, data: { kind: 'alias', target: 'real.test' } },
        {
          ...{ name: 'real.test', ttl: 5 },
          data: { kind: 'service', priority: 1, weight: 2, port: 8080, target: 'one.test' },
        },
      ],
      authorities: [{ name: 'test', ttl: 3, data: { kind: 'authority', negativeTtl: 30 } }],
      additionals: [
        { name: 'one.test', ttl: 9, data: { kind: 'address', type: 'A', address: '10.0.0.1' } },
        { name: 'one.test', ttl: 9, data: { kind: 'address', type: 'AAAA', address: 'fd00::1' } },
      ],
    });
  });

  it('may point back within its names', () => {
    const question = [3, 87, 69, 66, 0, 0, 1, 0, 1];
    const record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 1];
    const message = readMessage(
      Buffer.concat([header(1, 1, 0, 0), Buffer.from([...question, ...record])]),
    );
    expect(message.answers).toMatchObject([{ name: 'web', ttl: 9 }]);
  });

  it('keeps a dot in a label apart from one between labels', () => {
    const bytes = Buffer.concat([header(1, 0, 0, 0), Buffer.from([3, 97, 46, 98, 0, 0, 1, 0, 1])]);
    expect(readMessage(bytes).questions[0]!.name).toBe('a\\046b');
  });

  it('takes a time to live with the first bit for none', () => {
    const answers: ScriptedRecord[] = [{ ...asked, type: 'A', ttl: 0xffff_ffff, data: '10.0.0.1' }];
    expect(readMessage(answerBytes(7, asked, { answers })).answers[0]!.ttl).toBe(0);
  });

  it.each([
    ['nothing', []],
    ['a pointer to itself', [...header(1, 0, 0, 0), 0xc0, 12, 0, 1, 0, 1]],
    ['a pointer forward', [...header(1, 0, 0, 0), 0xc0, 14, 0, 0, 1, 0, 1]],
    ['a circle', [...header(1, 0, 0, 0), 1, 97, 0xc0, 12, 0, 1, 0, 1]],
    ['a label of another kind', [...header(1, 0, 0, 0), 0x40, 0, 0, 1, 0, 1]],
    ['a label beyond its end', [...header(1, 0, 0, 0), 9, 97]],
    ['fewer records than it counts', [...header(0, 9, 0, 0), 0, 0, 1, 0, 1]],
    [
      'an address of five bytes',
      [...header(0, 1, 0, 0), 0, 0, 1, 0, 1, 0, 0, 0, 9, 0, 5, 1, 2, 3, 4, 5],
    ],
    [
      'a record whose name ends beyond its length',
      [...header(0, 1, 0, 0), 0, 0, 5, 0, 1, 0, 0, 0, 9, 0, 1, 1, 97, 0],
    ],
    [
      'a name of 300 bytes',
      [
        ...header(1, 0, 0, 0),
        ...Array(30)
          .fill([9, ...Array(9).fill(97)])
          .flat(),
        0,
      ],
    ],
    ['what is no question', [0, 7, 0xa8, 0x00, 0, 0, 0, 0, 0, 0, 0, 0]],
  ] as [string, number[]][])('with %s is refused', (_, bytes) => {
    expect(reading(Buffer.from(bytes))).toBe('bad-message');
  });

  it('of any bytes is read or refused, and cut anywhere it is refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        const result = reading(Buffer.from(bytes));
        expect(typeof result === 'object' || result === 'bad-message').toBe(true);
      }),
    );
    const whole = answerBytes(7, asked, {
      answers: [{ ...asked, type: 'SRV', data: '1 2 8080 one.test' }],
    });
    for (let end = 0; end < whole.length; end += 1) {
      expect(reading(whole.subarray(0, end))).toBe('bad-message');
    }
  });

  it('is not asked about what is no name', () => {
    for (const bad of ['', 'a..b', 'a b', `${'a'.repeat(64)}.test`, 'a.'.repeat(130)]) {
      expect(() => questionBytes(1, bad, 'A')).toThrow(RangeError);
    }
  });
});
