// Keeps a session with one member of the ensemble: with a random one at first, so that many processes
// don't all ask the same, and with the next one after a failure: almost at once until all have been
// tried, then ever more slowly, with jitter.
import { Backoff } from '../../base/backoff.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { formatHostPort } from '../../base/host-text.ts';
import type { Random } from '../../base/prng.ts';
import type { ZookeeperSettings } from '../../model/registries/zookeeper.ts';
import { type ZookeeperError, zookeeperError } from './error.ts';
import type { WatchEvent } from './messages.ts';
import { Session } from './session.ts';
import type { OpenZookeeper } from './wire.ts';

const NEXT_MEMBER_MS = 50;
const BACKOFF = { baseMs: 250, capMs: 10_000 };
/** For a connection and its greeting; elections take about as long. */
const GREETING_MS = 4000;

export interface ClientOptions {
  readonly settings: ZookeeperSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly open: OpenZookeeper;
  /** The password as it is now. Throws where its file can't be read. */
  readonly password: () => string | Promise<string>;
  readonly events: ClientEvents;
}

export interface ClientEvents {
  /** A new session: nothing is watched yet. */
  onSession(session: Session): void;
  onEvent(event: WatchEvent): void;
  onHeard(): void;
  /** There is no session, or it is over; another will be tried. */
  onLost(error: ZookeeperError, address: string): void;
}

export class ZookeeperClient {
  private readonly options: ClientOptions;
  private readonly backoff: Backoff;
  private current: number;
  private session: Session | null = null;
  private timer: Timer | null = null;
  /** Since what is followed was read whole. */
  private failures = 0;
  private isStopped = false;

  constructor(options: ClientOptions) {
    this.options = options;
    const { settings, random } = options;
    this.current = Math.floor(random() * settings.servers.length);
    this.backoff = new Backoff({ ...BACKOFF, random });
  }

  /** `host:port` of the member that is asked now. */
  get address(): string {
    const { address, port } = this.options.settings.servers[this.current]!;
    return formatHostPort(address, port);
  }

  start(): void {
    const { settings, password } = this.options;
    if (settings.username === '') return this.begin('');
    const secret = password();
    if (typeof secret === 'string') return this.begin(`${settings.username}:${secret}`);
    // It is in a file.
    secret.then(
      (text) => this.begin(`${settings.username}:${text}`),
      (error: unknown) => this.lost(error),
    );
  }

  private begin(digest: string): void {
    if (this.isStopped) return;
    const { settings, clock, open, events } = this.options;
    const { tls, sessionTimeoutMs } = settings;
    const server = settings.servers[this.current]!;
    const session: Session = new Session({
      clock,
      digest,
      timeoutMs: sessionTimeoutMs,
      greetingMs: GREETING_MS,
      open: (channelEvents) => open({ server, tls }, channelEvents),
      onOpen: () => events.onSession(session),
      onEvent: (event) => events.onEvent(event),
      onHeard: () => events.onHeard(),
      onEnd: (error) => this.lost(error),
    });
    this.session = session;
  }

  /** All was read: the next failure is the first one. */
  settled(): void {
    this.failures = 0;
    this.backoff.reset();
  }

  /** What is asked in this session fails for good: another one is opened. */
  giveUp(session: Session, error: unknown): void {
    if (session === this.session) this.lost(error);
  }

  stop(): void {
    this.isStopped = true;
    this.timer?.cancel();
    this.session?.close();
    this.session = null;
  }

  private lost(error: unknown): void {
    if (this.isStopped) return;
    const { settings, clock, random, events } = this.options;
    const why = zookeeperError(error);
    const { address } = this;
    this.session?.close();
    this.session = null;
    this.failures += 1;
    const { length } = settings.servers;
    if (!why.isRefusal) this.current = (this.current + 1) % length;
    const isNext = !why.isRefusal && this.failures < length;
    const waitMs = isNext ? random() * NEXT_MEMBER_MS : this.backoff.nextMs();
    this.timer = clock.setTimer(waitMs, () => this.start());
    events.onLost(why, address);
  }
}
