// One GET at a time to a service with thousands of endpoints of which none listens: connects are tried
// on one after the other.
import type { Running, Target } from '../attack.ts';
import { get, HeldConnections } from '../sockets.ts';

export async function deadEndpoints({ deadServicePort }: Target): Promise<Running> {
  let answers = 0;
  let beganMs = performance.now();
  let longestMs = 0;
  const held = new HeldConnections({
    port: deadServicePort,
    count: 1,
    reads: true,
    onOpen: (socket) => {
      const ask = (): void => {
        beganMs = performance.now();
        socket.write(get('/'));
      };
      socket.on('data', () => {
        longestMs = Math.max(longestMs, performance.now() - beganMs);
        answers += 1;
        ask();
      });
      ask();
    },
  });
  await held.start();
  return {
    note: () => {
      const waitingMs = Math.max(longestMs, answers === 0 ? performance.now() - beganMs : 0);
      return `${answers} answers, the slowest after ${Math.round(waitingMs)} ms`;
    },
    stop: () => held.stop(),
  };
}
