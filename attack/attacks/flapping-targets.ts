// Whoever may register a service has all of its endpoints come and go, as fast as they are looked at.
import { renameSync, writeFileSync } from 'node:fs';
import type { Running, Target } from '../attack.ts';

const ENDPOINTS = 5000;
const EVERY_MS = 150;

export async function flappingTargets({ targetsFile }: Target): Promise<Running> {
  const lists = [0, 1].map((part) =>
    JSON.stringify([
      {
        targets: Array.from(
          { length: ENDPOINTS },
          (_, i) => `127.${32 + part}.${i >> 8}.${i & 255}:9`,
        ),
        labels: { service: 'flapping' },
      },
    ]),
  );
  let written = 0;
  const write = (): void => {
    writeFileSync(`${targetsFile}.new`, lists[written % lists.length]!);
    renameSync(`${targetsFile}.new`, targetsFile);
    written += 1;
  };
  write();
  const timer = setInterval(write, EVERY_MS);
  return { note: () => `${written} lists of ${ENDPOINTS}`, stop: () => clearInterval(timer) };
}
