// A DNS server by UDP as a process of its own, to be killed and stopped: it answers every question of type A
// with one address. Its only argument is that address; it says its port on stdout.
import { createSocket } from 'node:dgram';

const [, , address = '', port = '0'] = process.argv;
const socket = createSocket('udp4');
const data = Buffer.from(address.split('.').map(Number));

socket.on('message', (question, from) => {
  // The question ends with the name's last label, its type and class.
  const end = question.indexOf(0, 12) + 5;
  const head = Buffer.from(question.subarray(0, 12));
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(1, 6);
  head.writeUInt32BE(0, 8);
  // A pointer to the name, A, IN, 5 s, four bytes.
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
  const answer = Buffer.concat([head, question.subarray(12, end), record, data]);
  socket.send(answer, from.port, from.address);
});
const bound = socket.bindSync({ address: '127.0.0.1', port: Number(port) });
process.stdout.write(`${JSON.stringify({ port: bound.port })}\n`);
