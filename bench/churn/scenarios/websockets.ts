// Fifty WebSockets stay open while another instance is registered and deregistered, thirty changes
// in all. A socket is broken when it is closed, or does not echo at the end.
import { WebSocket } from 'ws';
import { serve } from '../endpoints.ts';
import { type Scenario, type Stage, sleep } from '../scenario.ts';

const SOCKETS = 50;
const CHANGES = 30;
const APART_MS = 200;
const ECHO_MS_MAX = 2000;

export const websockets: Scenario = {
  name: 'websockets',
  title: '50 WebSockets through 30 changes',
  goals: { broken: 0 },
  async prepare(stage) {
    const { consul } = stage;
    const [a, b, other] = await Promise.all(['a', 'b', 'other'].map((id) => serve(stage, id)));
    await consul.register({ Name: 'web', ID: 'a', Address: '127.0.0.1', Port: a! });
    await consul.register({ Name: 'web', ID: 'b', Address: '127.0.0.1', Port: b! });
    return async () => {
      const sockets = await Promise.all(Array.from({ length: SOCKETS }, () => open(stage)));
      for (let i = 0; i < CHANGES; i += 1) {
        if (i % 2 === 1) await consul.deregister('other');
        else
          await consul.register({ Name: 'web', ID: 'other', Address: '127.0.0.1', Port: other! });
        await sleep(APART_MS);
      }
      const echoes = await Promise.all(sockets.map(isEchoing));
      return { broken: echoes.filter((isFine) => !isFine).length };
    };
  },
};

function open({ port, defer }: Stage): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
  defer(() => socket.terminate());
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve(socket));
    socket.on('error', reject);
  });
}

function isEchoing(socket: WebSocket): Promise<boolean> {
  if (socket.readyState !== WebSocket.OPEN) return Promise.resolve(false);
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ECHO_MS_MAX);
    const end = (isFine: boolean): void => {
      clearTimeout(timer);
      resolve(isFine);
    };
    socket.once('message', () => end(true));
    socket.once('close', () => end(false));
    socket.send('still there?');
  });
}
