// Whoever writes to a registry has it say something else each time that it is asked, or all the time.
import type { Running, Target } from '../attack.ts';
import type { Flapping } from '../sources.ts';

const LOOK_MS = 100;

export function flappingSource(name: Flapping): (target: Target) => Promise<Running> {
  return async ({ controlPort }) => {
    const ask = async (what: string): Promise<Record<string, number>> => {
      const response = await fetch(`http://127.0.0.1:${controlPort}/${what}/${name}`);
      // Written by sources.ts.
      return (await response.json()) as Record<string, number>;
    };
    let said = (await ask('flap'))[name] ?? 0;
    const before = said;
    const look = async (): Promise<void> => {
      said = (await ask('said'))[name] ?? 0;
    };
    const timer = setInterval(() => void look().catch(() => {}), LOOK_MS);
    return {
      note: () => `${said - before} answers or events`,
      stop: () => {
        clearInterval(timer);
        void ask('calm').catch(() => {});
      },
    };
  };
}
