// Asks the members of an etcd cluster over HTTP: a list of members, of which one is asked until it
// fails; authentication of both APIs; a deadline on every exchange. Callers get good answers alone;
// everything else is an EtcdError.
import type { Clock } from '../../base/clock.ts';
import { CodedError, codeOf, messageOf } from '../../base/coded-error.ts';
import { fieldsOf, textOf } from '../../base/foreign.ts';
import { formsOfBasic, hideOwn } from '../../base/own-secrets.ts';
import { BOUNDS, type Bound } from '../../model/bounds.ts';
import type { EtcdSettings } from '../../model/registries/etcd.ts';
import { readError, readJson, readLines } from './body.ts';
import { AUTH_OFF, EtcdError, grpcError, NO_API, NO_KEY, v2Error } from './error.ts';
import type { EtcdRequest, EtcdResponse, EtcdTransport, OpenEtcd } from './transport.ts';

export interface Asking {
  /** The member. */
  readonly address: string;
  /** Bound of the whole exchange, ms; of a stream: of its head. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  /** Silence until the deadline is no sign of a dead connection. */
  readonly mayBeQuiet?: boolean;
  /** v2: that there is no such key is an answer, with body null. */
  readonly mayBeMissing?: boolean;
}

interface Exchange extends Asking {
  /** What is answered goes on after it was returned. */
  readonly isStream?: boolean;
}

export interface V2Answer {
  readonly body: unknown;
  readonly headers: EtcdResponse['headers'];
}

export interface EtcdClientOptions {
  readonly settings: EtcdSettings;
  readonly clock: Clock;
  readonly open: OpenEtcd;
  /** The password as it is now. Throws where its file can't be read. */
  readonly password: () => string | Promise<string>;
}

export class EtcdClient {
  private readonly settings: EtcdSettings;
  private readonly clock: Clock;
  private readonly transport: EtcdTransport;
  private readonly password: () => string | Promise<string>;
  private current = 0;
  /** Of v3, by member; '' where authentication is off. */
  private readonly tokens = new Map<string, string>();

  constructor({ settings, clock, open, password }: EtcdClientOptions) {
    this.settings = settings;
    this.clock = clock;
    this.password = password;
    this.transport = open(settings.tls);
  }

  /** The member that is asked now. */
  get address(): string {
    return this.settings.addresses[this.current] ?? '';
  }

  get members(): number {
    return this.settings.addresses.length;
  }

  /** A question failed at `from`: unless any member would refuse it, the next one is asked. */
  failOver(from: string, error: EtcdError): void {
    if (error.isRefusal || from !== this.address) return;
    this.current = (this.current + 1) % this.settings.addresses.length;
  }

  /** GET of the v2 API, or of /version. Throws EtcdError. */
  get(path: string, asking: Asking, bound: Bound = BOUNDS.etcdAnswer): Promise<V2Answer> {
    return this.askV2({ method: 'GET', path }, asking, bound);
  }

  /** PUT of the v2 API with a form, DELETE without. Throws EtcdError. */
  write(
    method: 'PUT' | 'DELETE',
    path: string,
    asking: Asking,
    form: Readonly<Record<string, string>> = {},
  ): Promise<V2Answer> {
    const body = new URLSearchParams(form).toString();
    const sent = body === '' ? { method, path } : { method, path, body };
    return this.askV2(sent, asking, BOUNDS.etcdAnswer);
  }

  private askV2(
    sent: Pick<EtcdRequest, 'method' | 'path' | 'body'>,
    asking: Asking,
    bound: Bound,
  ): Promise<V2Answer> {
    const { username } = this.settings;
    const basic = async (): Promise<string> =>
      Buffer.from(`${username}:${await this.password()}`).toString('base64');
    const make = async () => ({
      ...sent,
      headers: {
        ...(username === '' ? {} : { authorization: `Basic ${await basic()}` }),
        ...(sent.body === undefined ? {} : { 'content-type': FORM }),
      },
    });
    return this.exchange(make, asking, async ({ status, headers, body }) => {
      if (status === 200 || status === 201) return { headers, body: await readJson(body, bound) };
      const said = await readError(body, BOUNDS.etcdError);
      // What is no JSON is none of the API's: there is no such API here.
      if (status === 404 && said === null) throw new EtcdError(NO_API, NO_V2);
      const error = v2Error(said, status);
      if (error.code === NO_KEY && asking.mayBeMissing === true) return { headers, body: null };
      throw error;
    });
  }

  /** POST of the v3 gateway. Throws EtcdError. */
  post(path: string, message: unknown, asking: Asking): Promise<unknown> {
    return this.withToken(asking, (headers) =>
      this.exchange(() => postOf(path, message, headers), asking, readAnswer),
    );
  }

  /** POST of the v3 gateway whose answer is a stream: the messages, as they come. Throws EtcdError. */
  async *stream(path: string, message: unknown, asking: Asking): AsyncGenerator<unknown, void> {
    const token = await this.tokenFor(asking);
    const make = () => postOf(path, message, { ...headersOf(token), ...HAS_LEADER });
    const body = await this.exchange(make, { ...asking, isStream: true }, async (response) => {
      if (response.status === 200) return response.body;
      throw await errorOf(response);
    });
    try {
      yield* readLines(body, { bound: BOUNDS.etcdEvents, clock: this.clock });
    } catch (error) {
      throw asEtcdError(error);
    }
  }

  /** The next question to this member brings a new token. */
  dropToken(address: string): void {
    this.tokens.delete(address);
  }

  close(): Promise<void> {
    return this.transport.close();
  }

  private async withToken<T>(
    asking: Asking,
    ask: (headers: Record<string, string>) => Promise<T>,
  ): Promise<T> {
    try {
      return await ask(headersOf(await this.tokenFor(asking)));
    } catch (error) {
      if (!(error instanceof EtcdError && error.isStaleToken)) throw error;
      this.dropToken(asking.address);
      return ask(headersOf(await this.tokenFor(asking)));
    }
  }

  private async tokenFor(asking: Asking): Promise<string> {
    const { username: name } = this.settings;
    if (name === '') return '';
    const known = this.tokens.get(asking.address);
    if (known !== undefined) return known;
    const make = async () =>
      postOf('/v3/auth/authenticate', { name, password: await this.password() }, {});
    let token = '';
    try {
      token = textOf(fieldsOf(await this.exchange(make, asking, readAnswer)).token);
    } catch (error) {
      // Nobody is asked who he is: as if no name were configured, until that changes.
      if (codeOf(error) !== AUTH_OFF) throw error;
    }
    this.tokens.set(asking.address, token);
    return token;
  }

  /** What a member refuses it may quote. */
  private async withoutSecrets(error: EtcdError, address: string): Promise<EtcdError> {
    const { username } = this.settings;
    if (username === '') return error;
    try {
      const basic = formsOfBasic(`${username}:${await this.password()}`);
      const secrets = [...basic, this.tokens.get(address) ?? ''];
      error.message = hideOwn(error.message, secrets);
    } catch {
      // Its file can't be read: it was not sent.
    }
    return error;
  }

  /** `read` takes the answer; for a stream it only looks at its head. */
  private async exchange<T>(
    make: () => Omit<EtcdRequest, 'signal'> | Promise<Omit<EtcdRequest, 'signal'>>,
    asking: Exchange,
    read: (response: EtcdResponse) => Promise<T>,
  ): Promise<T> {
    const { address, deadlineMs, signal, isStream = false, mayBeQuiet = false } = asking;
    const aborter = new AbortController();
    const abort = (): void => aborter.abort();
    let isLate = false;
    let recycle = (): void => {};
    const deadline = this.clock.setTimer(deadlineMs, () => {
      isLate = true;
      abort();
    });
    let isOpen = isStream;
    signal.addEventListener('abort', abort);
    try {
      signal.throwIfAborted();
      const channel = await this.transport.to(address);
      recycle = () => channel.recycle();
      return await read(await channel.request({ ...(await make()), signal: aborter.signal }));
    } catch (error) {
      isOpen = false;
      if (!isLate) throw await this.withoutSecrets(asEtcdError(error), address);
      if (!mayBeQuiet) recycle();
      throw new EtcdError('timeout', `no answer within ${Math.round(deadlineMs)} ms`);
    } finally {
      deadline.cancel();
      if (!isOpen) signal.removeEventListener('abort', abort);
    }
  }
}

const FORM = 'application/x-www-form-urlencoded';
const NO_V2 = 'has no v2 API (404): start etcd with --enable-v2, or set registries.etcd.api to v3';
const NO_V3 = 'has no JSON gateway of v3 (404): start etcd 3.4 or later with --enable-grpc-gateway';

/** The member ends the stream when it has no leader: it would be silent for ever. */
const HAS_LEADER = { 'grpc-metadata-hasleader': 'true' };

function headersOf(token: string): Record<string, string> {
  return token === '' ? {} : { authorization: token };
}

function postOf(path: string, message: unknown, headers: Record<string, string>) {
  return {
    method: 'POST' as const,
    path,
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify(message),
  };
}

async function readAnswer(response: EtcdResponse): Promise<unknown> {
  if (response.status === 200) return readJson(response.body, BOUNDS.etcdAnswer);
  throw await errorOf(response);
}

async function errorOf({ status, body }: EtcdResponse): Promise<EtcdError> {
  const said = await readError(body, BOUNDS.etcdError);
  if (status === 404 && said === null) return new EtcdError(NO_API, NO_V3);
  return grpcError(said, status);
}

function asEtcdError(error: unknown): EtcdError {
  if (error instanceof EtcdError) return error;
  const isOwn = error instanceof CodedError;
  // A name with several addresses gives an error of errors, whose own message is empty.
  const text =
    error instanceof AggregateError ? error.errors.map(messageOf).join('; ') : messageOf(error);
  return new EtcdError(codeOf(error) || 'failed', text || codeOf(error), { isRefusal: isOwn });
}
