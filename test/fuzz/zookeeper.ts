// What members of ZooKeeper answer (bytes, written as text of one character each), and what stands in
// znodes.
import { ok } from 'node:assert/strict';
import { codeOf } from '../../src/base/coded-error.ts';
import { isHost } from '../../src/discovery/host-port.ts';
import { listedOf } from '../../src/discovery/zookeeper/content.ts';
import { Frames } from '../../src/discovery/zookeeper/frames.ts';
import { JuteWriter } from '../../src/discovery/zookeeper/jute.ts';
import {
  readChildren,
  readConnected,
  readData,
  readEvent,
  readReply,
} from '../../src/discovery/zookeeper/messages.ts';
import { readZnode } from '../../src/discovery/zookeeper/record.ts';
import { BOUNDS } from '../../src/model/bounds.ts';
import { children, data } from '../support/scripted-zookeeper.ts';
import type { FuzzTarget } from './target.ts';

function reply(xid: number, write: (to: JuteWriter) => void): string {
  const writer = new JuteWriter().int(xid).long(77n).int(0);
  write(writer);
  return writer.frame().toString('latin1');
}

/** Null where it is refused in the way that is meant. */
function attempt<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    ok(['bad-message', 'too-large'].includes(codeOf(error)), String(error));
    return null;
  }
}

function checkFrame(frame: Buffer): void {
  attempt(() => readConnected(frame));
  const body = () => readReply(frame).body;
  const event = attempt(() => readEvent(body()));
  if (event !== null) ok(event.path.length <= frame.length, 'a long path');
  const names = attempt(() => readChildren(body(), () => {}));
  if (names !== null) ok(names.length * 4 <= frame.length, 'more names than there is');
  const read = attempt(() => readData(body()));
  if (read !== null) ok(read.data.length <= frame.length, 'more data than there is');
}

const framesTarget: FuzzTarget = {
  name: 'zookeeper',
  seeds: [
    reply(1, children('a_0000000001', 'b_0000000002')),
    reply(2, data('{"host":"10.0.0.1","port":80}')),
    reply(-1, (to) => to.int(3).int(3).text('/services/web')),
    new JuteWriter().int(0).int(4000).long(5n).buffer(Buffer.alloc(16)).frame().toString('latin1'),
  ],
  morsels: ['\xff\xff\xff\xff', '\x00\x00\x00\x00', '\x7f\xff\xff\xff', '\x00', '\x00\x00\x00\x04'],
  check: (input) => {
    const bytes = Buffer.from(input, 'latin1');
    // In one piece and in many the same.
    const whole = attempt(() => new Frames(BOUNDS.zookeeperAnswer).take(bytes));
    const frames = new Frames(BOUNDS.zookeeperAnswer);
    const pieces = attempt(() =>
      [...bytes].flatMap((_, i) => frames.take(bytes.subarray(i, i + 1))),
    );
    ok(
      (whole === null) === (pieces === null) && `${whole?.map(hex)}` === `${pieces?.map(hex)}`,
      'other messages in pieces',
    );
    for (const frame of whole ?? []) checkFrame(frame);
  },
};

const hex = (bytes: Buffer) => bytes.toString('hex');

const znodeTarget: FuzzTarget = {
  name: 'znode',
  seeds: [
    '{"host":"10.0.0.1","port":8001,"name":"i","weight":5,"labels":{"upriver.listen":"80"}}',
    '{"serviceEndpoint":{"host":"h","port":1},"additionalEndpoints":{},"status":"ALIVE"}',
    '{"address":"h","port":1,"sslPort":null,"enabled":true,"payload":{"metadata":{"a":"b"}}}',
    '{"Name":"web","IP":"10.0.0.1","PublicPort":80,"Tags":["upriver.listen=80"],"Attrs":{}}',
    '10.0.0.1:80',
  ],
  morsels: ['"labels":', 'null', '{}', '[]', '"upriver.', '-1', '1e99', '"__proto__":', '\\u0000'],
  check: (input) => {
    const stat = { created: 1, modified: 1, isEphemeral: true };
    const reading = readZnode('n', Buffer.from(input), true);
    if (reading.kind === 'problem') ok(reading.text.length < 1200, 'a long problem');
    const content = { znodes: new Map([['n', { reading, stat }]]), problem: '' };
    const { instances, problems, settings } = listedOf(content, { prefix: 'upriver' });
    for (const { host, port, weight } of instances) {
      ok(isHost(host), `the host ${host}`);
      ok(port >= 1 && port <= 65_535, `port ${port}`);
      ok(weight >= 0 && weight <= 1_000_000, `weight ${weight}`);
    }
    for (const problem of problems) ok(problem.length < 1200, 'a long problem');
    for (const value of Object.values(settings ?? {})) ok(value.length <= 1024, 'a long setting');
  },
};

export const zookeeperTargets: readonly FuzzTarget[] = [framesTarget, znodeTarget];
