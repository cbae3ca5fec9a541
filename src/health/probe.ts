// One active check, of whichever kind the service has.
import type { HealthCheck } from '../model/service.ts';
import { converse, type Speak } from './conversation.ts';
import { checkEither } from './either-check.ts';
import { checkHttp } from './http-check.ts';
import { checkGrpc, checkHttp2 } from './http2-check.ts';
import type { CheckOutcome, CheckTarget } from './outcome.ts';
import { speakDns } from './protocols/dns.ts';
import { speakMemcached } from './protocols/memcached.ts';
import { speakMysql } from './protocols/mysql.ts';
import { speakPostgres } from './protocols/postgres.ts';
import { speakRedis } from './protocols/redis.ts';
import { speakSendExpect } from './protocols/send-expect.ts';
import { speakSmtp } from './protocols/smtp.ts';
import { checkTcp } from './tcp-check.ts';
import { checkTls } from './tls-check.ts';
import { readCheckTls } from './tls-options.ts';
import { checkUdp } from './udp-check.ts';

type Check = (
  check: HealthCheck,
  target: CheckTarget,
  signal: AbortSignal,
) => Promise<CheckOutcome>;

const speaking =
  (speak: Speak): Check =>
  (check, target, signal) =>
    converse(speak, check, target, signal);

const HTTP: Readonly<Record<HealthCheck['version'], Check>> = {
  http1: (check, target, signal) => checkHttp(check, target, signal),
  http2: (check, target, signal) => checkHttp2(check, target, signal),
  auto: checkEither,
};

const KINDS: Readonly<Record<HealthCheck['type'], Check>> = {
  http: (check, target, signal) => HTTP[check.version](check, target, signal),
  grpc: checkGrpc,
  tcp: checkTcp,
  tls: checkTls,
  redis: speaking(speakRedis),
  postgres: speaking(speakPostgres),
  mysql: speaking(speakMysql),
  smtp: speaking(speakSmtp),
  memcached: speaking(speakMemcached),
  send_expect: speaking(speakSendExpect),
  dns: speaking(speakDns),
  udp: checkUdp,
};

/**
 * Checks the target once. Resolves with what went wrong in the text; rejects when the check can't
 * be made at all. `signal` ends it early (the outcome is then of no interest).
 */
export async function probe(
  check: HealthCheck,
  target: CheckTarget,
  signal: AbortSignal,
): Promise<CheckOutcome> {
  const at = { ...target, port: check.port === 0 ? target.port : check.port };
  if (check.tls !== null) await readCheckTls(check.tls);
  const ask = check.isUdp ? checkUdp : KINDS[check.type];
  return ask(check, at, signal);
}
