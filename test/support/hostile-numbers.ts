// Numbers as whoever may register a service can write them, and what stands where one is expected.

export const HOSTILE_NUMBERS: readonly unknown[] = [
  ...['9'.repeat(400), '-1', '-0', 'NaN', 'Infinity', '1e400', '1e-400', '0x10', '0b1', '1_000'],
  ...[' 7 ', '', '1.5', '65536', '1e3', '٣', '1,5', '+1'],
  ...[-1, 1e308, 2 ** 53, 0.1, null, true, [], [80], {}, { valueOf: 1 }],
];
