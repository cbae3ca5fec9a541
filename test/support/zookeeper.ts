// Real members of ZooKeeper for tests: one, or three in an ensemble. Everything listens on loopback, on ports
// that were free a moment ago; members are ended by pid with SIGKILL.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { untilTrue } from './discovery.ts';
import { findInstalled, MemberProcess } from './member.ts';
import { freePorts } from './ports.ts';

/** The least session timeout is twice as long. */
const TICK_MS = 250;
/** By default it would be twenty ticks: registrants that lost their member would be forgotten within seconds. */
const SESSION_MS_MAX = 60_000;

/** Java and the class path; null where there is none. */
export const zookeeper = findZookeeper();

export interface ZookeeperMember {
  readonly port: number;
  readonly pid: number;
  freeze(): void;
  thaw(): void;
  /** kill -9; its data stays. */
  kill(): Promise<void>;
  /** Starts it again on the same ports, with its data or (`isEmpty`) without. */
  restart(isEmpty?: boolean): Promise<void>;
  /** Resolves once it takes sessions: in an ensemble, with a leader. */
  untilUp(): Promise<void>;
  /** What it says of itself: `leader`, `follower`, `standalone`, or '' where it does not serve. */
  mode(): Promise<string>;
  /** kill -9, and its files are removed. */
  stop(): Promise<void>;
}

export async function startZookeeper(): Promise<ZookeeperMember> {
  const [port] = (await freePorts(1)) as [number];
  const member = launch(port, 0, []);
  await member.untilUp();
  return member;
}

/** Three members that have a leader. */
export async function startEnsemble(): Promise<{
  readonly members: readonly ZookeeperMember[];
  /** The leader first; an election that goes on is waited for. */
  ranked(): Promise<ZookeeperMember[]>;
  stop(): Promise<void>;
}> {
  const ports = await freePorts(9);
  const ids = [1, 2, 3];
  const lines = ids.map((id) => {
    const [quorum, election] = [ports[id * 3 - 2], ports[id * 3 - 1]];
    return `server.${id}=127.0.0.1:${quorum}:${election}`;
  });
  const members = ids.map((id) => launch(ports[id * 3 - 3]!, id, lines));
  await Promise.all(members.map((member) => member.untilUp()));
  return {
    members,
    ranked: async () => {
      let leader: ZookeeperMember | undefined;
      await untilTrue(
        async () => {
          const modes = await Promise.all(members.map((member) => member.mode()));
          leader = members[modes.indexOf('leader')];
          return leader !== undefined;
        },
        () => 'no member leads',
      );
      return [leader!, ...members.filter((member) => member !== leader)];
    },
    stop: async () => void (await Promise.all(members.map((member) => member.stop()))),
  };
}

function launch(port: number, id: number, servers: readonly string[]): ZookeeperMember {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-zookeeper-'));
  let data = 0;
  const command = (): string[] => {
    const dataDir = join(folder, `data${data}`);
    mkdirSync(dataDir, { recursive: true });
    if (id > 0) writeFileSync(join(dataDir, 'myid'), String(id));
    const config = join(folder, 'zoo.cfg');
    const lines = [
      ...[`dataDir=${dataDir}`, 'clientPortAddress=127.0.0.1', `clientPort=${port}`],
      ...[
        `tickTime=${TICK_MS}`,
        `maxSessionTimeout=${SESSION_MS_MAX}`,
        'initLimit=20',
        'syncLimit=8',
        'admin.enableServer=false',
      ],
      ...['4lw.commands.whitelist=*', 'maxClientCnxns=0', ...servers],
    ];
    writeFileSync(config, `${lines.join('\n')}\n`);
    const { java, classPath } = zookeeper!;
    const flags = [
      ...['-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Dzookeeper.forceSync=no'],
      ...['-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', classPath],
    ];
    return [java, ...flags, 'org.apache.zookeeper.server.quorum.QuorumPeerMain', config];
  };
  const mode = async (): Promise<string> =>
    /^Mode: (\w+)$/m.exec(await fourLetters(port, 'srvr').catch(() => ''))?.[1] ?? '';
  const isUp = async () => (await mode()) !== '';
  const member = new MemberProcess({ name: `ZooKeeper at port ${port}`, command, isUp });
  return {
    port,
    get pid() {
      return member.pid;
    },
    freeze: () => member.freeze(),
    thaw: () => member.thaw(),
    kill: () => member.kill(),
    restart: async (isEmpty = false) => {
      await member.kill();
      if (isEmpty) data += 1;
      await member.restart();
    },
    untilUp: () => member.untilUp(),
    mode,
    stop: async () => {
      await member.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The answer to one of the words of four letters. */
function fourLetters(port: number, word: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(word));
    let text = '';
    socket.setTimeout(2000, () => socket.destroy(new Error('no answer')));
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
  });
}

function findZookeeper(): { readonly java: string; readonly classPath: string } | null {
  const [java = '', classPath = ''] = findInstalled('ZooKeeper', 'install-zookeeper').split('\n');
  return java === '' ? null : { java, classPath };
}
