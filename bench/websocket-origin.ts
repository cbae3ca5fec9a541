// The endpoint that echoes: each frame of the load's size is answered with one.
// usage: node bench/websocket-origin.ts PORT...
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { clientFrame, serverFrame } from './websocket-frame.ts';

/** RFC 6455 section 1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

for (const port of process.argv.slice(2)) {
  const server = createServer((_, response) => response.end());
  server.on('upgrade', (request, socket) => {
    const key = `${request.headers['sec-websocket-key'] ?? ''}${GUID}`;
    const accept = createHash('sha1').update(key).digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    let received = 0;
    socket.on('data', (bytes: Buffer) => {
      received += bytes.length;
      for (; received >= clientFrame.length; received -= clientFrame.length)
        socket.write(serverFrame);
    });
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.end());
  });
  server.listen(Number(port), '127.0.0.1');
}
