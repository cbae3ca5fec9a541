// Makes a worker thread of a running Node process crash, by the process's own inspector: threads
// can't be killed from outside.
import type { UpriverProcess } from './upriver.ts';

/** What the process must be started with, for `crashWorker` on this port. */
export function inspectable(port: number): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--inspect=127.0.0.1:${port}` };
}

interface Message {
  readonly method?: string;
  readonly params?: { readonly sessionId: string };
}

/** Throws what nobody catches in one of its workers. */
export async function crashWorker(upriver: UpriverProcess, port: number): Promise<void> {
  const socket = new WebSocket(await debuggerUrl(port));
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  const attached = new Promise<string>((resolve) => {
    socket.onmessage = ({ data }) => {
      // The protocol's own shape (NodeWorker.attachedToWorker).
      const { method, params } = JSON.parse(String(data)) as Message;
      if (method === 'NodeWorker.attachedToWorker') resolve(params!.sessionId);
    };
  });
  const send = (id: number, method: string, params: unknown): void =>
    socket.send(JSON.stringify({ id, method, params }));
  send(1, 'NodeWorker.enable', { waitForDebuggerOnStart: false });
  const sessionId = await attached;
  const expression = "setImmediate(() => { throw new Error('crashed by a test'); })";
  const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } });
  send(2, 'NodeWorker.sendMessageToWorker', { sessionId, message });
  await upriver.waitForLog(({ msg }) => msg.includes('worker died'), 'a worker died');
  socket.close();
}

async function debuggerUrl(port: number): Promise<string> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}/json/list`);
      // The inspector's own shape.
      const [target] = (await response.json()) as { webSocketDebuggerUrl: string }[];
      return target!.webSocketDebuggerUrl;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
