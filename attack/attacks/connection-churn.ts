// One address opens connections without a pause and closes each as soon as it is open: what it costs to
// accept one is all that it asks for.
import { connect } from 'node:net';
import type { Running, Target } from '../attack.ts';

/** An attack is bounded: so many at a time, ... */
const AT_A_TIME = 64;
/** ... and so many in ten milliseconds. */
const STEP_COUNT = 10;
const STEP_MS = 10;

export async function connectionChurn({ victimPort }: Target): Promise<Running> {
  let opened = 0;
  let open = 0;
  const add = (): void => {
    open += 1;
    const socket = connect(victimPort, '127.0.0.1', () => {
      opened += 1;
      socket.destroy();
    });
    socket.on('error', () => {});
    socket.once('close', () => {
      open -= 1;
    });
  };
  const timer = setInterval(() => {
    for (let i = 0; i < STEP_COUNT && open < AT_A_TIME; i += 1) add();
  }, STEP_MS);
  return {
    note: () => `${opened} opened and closed`,
    stop: () => clearInterval(timer),
  };
}
