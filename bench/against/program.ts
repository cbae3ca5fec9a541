// What a program under test tells of itself. All are set up for the same work: least connections over
// the same endpoints, keep-alive on both sides, X-Forwarded-* set.
import type { Case } from '../cases.ts';
import type { Tool } from '../tools.ts';

export interface Setup {
  readonly port: number;
  /** Where it may serve its metrics. */
  readonly statsPort: number;
  /** Ports of the endpoints, on 127.0.0.1. */
  readonly endpoints: readonly number[];
  readonly workers: number;
  /** The access log's file, or '' for none. */
  readonly accessLog: string;
  /** Client connections it must be able to hold. */
  readonly connections: number;
  readonly protocol: Case['protocol'];
  readonly responses: Case['responses'];
  /** Certificate and key (PEM) for TLS from clients; '' for none. */
  readonly certificate: string;
  /** Endpoints speak TLS, with a certificate of their own. */
  readonly isTlsBehind: boolean;
  /** A folder of its own, which exists. */
  readonly folder: string;
}

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Its metrics when they are on; '' where it has none. */
  readonly metricsUrl: string;
}

export interface Program {
  readonly name: string;
  /** Finds it, or fetches it. */
  find(): Tool;
  /** More than one worker; false leaves it out of such cases. */
  readonly hasWorkers: boolean;
  /** What its clients may speak; HTTP/1.1 alone where it does not say. */
  readonly speaks?: readonly Case['protocol'][];
  /** Whether clients may speak TLS. */
  readonly speaksTls?: boolean;
  /** Whether endpoints may. */
  readonly speaksTlsBehind?: boolean;
  /** Writes its configuration and says how it is started. */
  prepare(tool: Tool, setup: Setup): Command;
}
