// The format of the state file, pure: lines of JSON. The first says what it is, one follows for
// each source and for each service with checks, and the last says how many there were, so that a
// file which was cut is not taken for a whole one.
import type { Clock } from '../base/clock.ts';
import { CodedError } from '../base/coded-error.ts';
import { type Fields, isFields } from '../base/foreign.ts';
import { safeJson } from '../base/safe-text.ts';
import { Turns } from '../base/turns.ts';
import { BOUNDS, formatBound } from '../model/bounds.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { Kept, KeptChecks, KeptSource } from '../model/kept.ts';
import { CHECK_TYPES } from '../model/service.ts';
import { SOURCE_DEFAULTS } from '../model/source.ts';
import type { Fingerprints } from './fingerprint.ts';

const FORMAT = 'upriver-state';
/** No check is made more often. */
const INTERVAL_MS_MIN = 100;
/** Raised with every change of a line's shape. */
const VERSION = 2;
/** Had one fingerprint, of Consul: it was the only registry. */
const VERSION_OF_CONSUL = 1;

export interface State extends Kept {
  /** ms since the epoch. */
  readonly writtenMs: number;
  /** Tells configurations of registries apart. */
  readonly fingerprints: Fingerprints;
}

/** Lines to be written one after the other; each is made when it is asked for. */
export function* linesOf(state: State): Generator<string> {
  const { writtenMs, fingerprints, sources, checks } = state;
  yield line({ format: FORMAT, version: VERSION, writtenMs, fingerprints });
  for (const { source, settings, endpoints, order } of sources)
    yield line({ source, settings, endpoints, order });
  for (const { service, up, down } of checks) yield line({ service, up, down });
  yield line({ lines: sources.length + checks.length });
}

/**
 * Reads a state file in turns. Rejects with CodedError `state-version` or `state-broken`, whose
 * message says what is wrong.
 */
export async function parseState(text: string, clock: Clock): Promise<State> {
  const [head, ...lines] = await parseLines(text, new Turns(clock));
  const { format, version, writtenMs } = head ?? {};
  if (format !== FORMAT) throw broken('it is no state file');
  if (version !== VERSION && version !== VERSION_OF_CONSUL) {
    const read = `versions ${VERSION_OF_CONSUL} and ${VERSION} are read`;
    throw new CodedError('state-version', `version ${String(version)}; ${read}`);
  }
  const isOld = version === VERSION_OF_CONSUL;
  const fingerprints = isOld ? { consul: head?.fingerprint } : head?.fingerprints;
  if (!isTime(writtenMs) || !areFingerprints(fingerprints)) throw broken('its first line is odd');
  const last = lines.pop();
  if (last?.lines !== lines.length) throw broken('its end is missing');
  const sources: KeptSource[] = [];
  const checks: KeptChecks[] = [];
  for (const [i, one] of lines.entries()) {
    if (isSource(one)) sources.push(completed(one));
    else if (isChecks(one)) checks.push(one);
    else throw broken(`line ${i + 2} is odd`);
  }
  return { writtenMs, fingerprints, sources, checks };
}

async function parseLines(text: string, turns: Turns): Promise<Fields[]> {
  const lines: Fields[] = [];
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at);
    const end = newline < 0 ? text.length : newline;
    if (end > at) lines.push(parse(text.slice(at, end), lines.length));
    if (lines.length > BOUNDS.stateLines.max) {
      throw broken(`it has more than ${formatBound(BOUNDS.stateLines)} lines`);
    }
    at = end + 1;
    if (turns.isOver) await turns.next();
  }
  return lines;
}

function line(value: object): string {
  return `${safeJson(JSON.stringify(value))}\n`;
}

function broken(why: string): CodedError {
  return new CodedError('state-broken', why);
}

function parse(text: string, i: number): Fields {
  try {
    const value: unknown = JSON.parse(text);
    if (isFields(value)) return value;
  } catch {
    // Said below.
  }
  throw broken(`line ${i + 1} is no JSON object`);
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value > 0 && Number.isFinite(new Date(value).getTime());
}

function areFingerprints(value: unknown): value is Fingerprints {
  return isFields(value) && isTexts(Object.values(value));
}

/** Keys of a source that came after its file was written have their defaults. */
function completed(kept: KeptSource): KeptSource {
  return { ...kept, source: { ...SOURCE_DEFAULTS, ...kept.source } };
}

function isSource(value: Fields): value is Fields & KeptSource {
  const { source, settings, endpoints, order = 0 } = value;
  if (typeof order !== 'number' || order < 0) return false;
  if (!isFields(source) || !Array.isArray(endpoints)) return false;
  const whole: Fields = { ...SOURCE_DEFAULTS, ...source };
  const { accept, ...texts } = whole;
  if (!isTexts([source.registry, source.service, ...Object.values(texts)])) return false;
  if (!isTexts(accept)) return false;
  const isDescription =
    settings === null || (isFields(settings) && isTexts(Object.values(settings)));
  return isDescription && endpoints.every(isEndpoint);
}

const STATUSES: readonly unknown[] = ['passing', 'warning', 'critical', 'maintenance'];

function isEndpoint(value: unknown): value is Endpoint {
  if (!isFields(value)) return false;
  if (value.check !== undefined && !isCheck(value.check)) return false;
  const { id, address, port, weight, status, statusText, tags = [], transport } = value;
  return (
    isTexts([id, address, statusText]) &&
    isTexts(tags) &&
    (transport === undefined || transport === 'udp') &&
    typeof port === 'number' &&
    Number.isInteger(port) &&
    port >= 1 &&
    port <= 65535 &&
    typeof weight === 'number' &&
    weight >= 0 &&
    Number.isFinite(weight) &&
    STATUSES.includes(status)
  );
}

/** Every part of a check has the type that it has in any other. */
function isCheck(value: unknown): boolean {
  if (!isFields(value) || !isFields(value.login) || !Array.isArray(value.expectStatus))
    return false;
  const { path, host, method, send, sendProxy, grpcService, type, initial } = value;
  const { port, intervalMs, timeoutMs, rise, fall } = value;
  const { user, database, password, passwordFile } = value.login;
  const counts = [port, intervalMs, timeoutMs, rise, fall];
  return (
    isTexts([
      path,
      host,
      method,
      send,
      sendProxy,
      grpcService,
      initial,
      user,
      database,
      password,
      passwordFile,
    ]) &&
    CHECK_TYPES.some((one) => one === type) &&
    counts.every((one) => Number.isInteger(one) && Number(one) >= 0) &&
    Number(intervalMs) >= INTERVAL_MS_MIN &&
    Number(timeoutMs) > 0 &&
    value.expect === null &&
    value.tls === null &&
    isFields(value.headers) &&
    isTexts(Object.values(value.headers)) &&
    value.expectStatus.every((range) => isFields(range) && isRange(range))
  );
}

function isRange({ from, to }: Fields): boolean {
  return Number.isInteger(from) && Number.isInteger(to);
}

function isChecks(value: Fields): value is Fields & KeptChecks {
  const { service, up, down } = value;
  return typeof service === 'string' && isTexts(up) && isTexts(down);
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}
