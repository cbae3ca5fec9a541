// Real members of ZooKeeper for tests: one, or three in an ensemble. Everything listens on loopback, on ports
// that were free a moment ago; members are ended by pid with SIGKILL.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from './ports.ts';

const UP_MS_MAX = 30_000;
const POLL_MS = 20;
/** The least session timeout is twice as long. */
const TICK_MS = 250;

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
  /** The leader first. */
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
      const modes = await Promise.all(members.map((member) => member.mode()));
      const leader = members[modes.indexOf('leader')];
      if (leader === undefined) throw new Error(`no member leads: ${modes.join()}`);
      return [leader, ...members.filter((member) => member !== leader)];
    },
    stop: async () => void (await Promise.all(members.map((member) => member.stop()))),
  };
}

function launch(port: number, id: number, servers: readonly string[]): ZookeeperMember {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-zookeeper-'));
  let output = '';
  let child: ChildProcess;
  let data = 0;
  const start = (): void => {
    const dataDir = join(folder, `data${data}`);
    mkdirSync(dataDir, { recursive: true });
    if (id > 0) writeFileSync(join(dataDir, 'myid'), String(id));
    const config = join(folder, 'zoo.cfg');
    const lines = [
      ...[`dataDir=${dataDir}`, 'clientPortAddress=127.0.0.1', `clientPort=${port}`],
      ...[`tickTime=${TICK_MS}`, 'initLimit=20', 'syncLimit=8', 'admin.enableServer=false'],
      ...['4lw.commands.whitelist=*', 'maxClientCnxns=0', ...servers],
    ];
    writeFileSync(config, `${lines.join('\n')}\n`);
    const { java, classPath } = zookeeper!;
    const flags = [
      ...['-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Dzookeeper.forceSync=no'],
      ...['-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', classPath],
    ];
    const main = 'org.apache.zookeeper.server.quorum.QuorumPeerMain';
    child = spawn(java, [...flags, main, config], { stdio: ['ignore', 'pipe', 'pipe'] });
    const take = (text: Buffer): void => {
      output = (output + text).slice(-4000);
    };
    child.stdout!.on('data', take);
    child.stderr!.on('data', take);
    children.add(child);
  };
  const kill = async (): Promise<void> => {
    children.delete(child);
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
  const mode = async (): Promise<string> =>
    /^Mode: (\w+)$/m.exec(await fourLetters(port, 'srvr').catch(() => ''))?.[1] ?? '';
  const untilUp = async (): Promise<void> => {
    const deadline = performance.now() + UP_MS_MAX;
    while (performance.now() < deadline && child.exitCode === null) {
      if ((await mode()) !== '') return;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    await kill();
    throw new Error(`ZooKeeper at port ${port} did not come up:\n${output}`);
  };
  start();
  return {
    port,
    get pid() {
      return child.pid!;
    },
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    kill,
    restart: async (isEmpty = false) => {
      await kill();
      if (isEmpty) data += 1;
      start();
      await untilUp();
    },
    untilUp,
    mode,
    stop: async () => {
      await kill();
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

/** What scripts/install-zookeeper finds; says so loudly where there is none. */
function findZookeeper(): { readonly java: string; readonly classPath: string } | null {
  const script = join(import.meta.dirname, '..', '..', 'scripts', 'install-zookeeper');
  try {
    const found = execFileSync(script, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    const [java = '', classPath = ''] = found.trim().split('\n');
    return { java, classPath };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    if (process.env.CI !== undefined) throw new Error(`no ZooKeeper to test with: ${why}`);
    console.error(`\n*** ZooKeeper is not here; its tests are SKIPPED ***\n${why}\n`);
    return null;
  }
}

// A test run that is ended early must not leave members behind.
const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});
