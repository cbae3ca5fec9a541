// What is measured, one row each. A case is run for all programs in alternating rounds.

export const groups = ['http', 'tcp', 'tls', 'h2', 'grpc', 'websocket', 'udp'] as const;
export type Group = (typeof groups)[number];

export interface Case {
  readonly name: string;
  /** Cases that are run together by this name. */
  readonly group: Group;
  /** What it shows, for people. */
  readonly title: string;
  readonly path: string;
  /**
   * What the clients speak. With `grpc` the endpoints speak HTTP/2 too; with `tcp` the proxy relays
   * bytes, which are HTTP/1.1 that it does not look at.
   */
  readonly protocol: 'http1' | 'h2' | 'grpc' | 'tcp' | 'websocket' | 'udp';
  /** Answers to each datagram, or `any`; of UDP. */
  readonly responses: 'any' | 0 | 1;
  /** Requests at a time on each connection; of HTTP/2. */
  readonly streams: number;
  /** Each stream of a client takes 2 to this of an answer before it says more, and its connection four times that; 0: all. */
  readonly windowBits: number;
  /** Connections of the load generator. */
  readonly connections: number;
  readonly endpoints: number;
  /** Body of a POST, bytes; 0 sends GETs. */
  readonly postBytes: number;
  /** Clients speak TLS. */
  readonly isTls: boolean;
  /** Endpoints speak TLS; their certificate is not checked. */
  readonly isTlsBehind: boolean;
  /** Key exchanges that they offer, the preferred first; of idle connections. */
  readonly curves: string;
  /** A connection of its own for each request. */
  readonly isFresh: boolean;
  /** With isTls and isFresh: whether connections resume the session of the one before. */
  readonly isResumed: boolean;
  /** Threads of the proxy; they share the cores with load and origin when there are two. */
  readonly workers: number;
  /** Access log to a file, and metrics read every second where the program has them. */
  readonly isLogged: boolean;
  /** Long enough for a virtual machine to have compiled what is hot: of handshakes there are few in a second. */
  readonly warmUpSeconds: number;
  /** Load as a share of what HAProxy manages; 1 sends as fast as answers come. */
  readonly loadShare: number;
}

const plain: Omit<Case, 'name' | 'title'> = {
  group: 'http',
  path: '/',
  protocol: 'http1',
  streams: 1,
  windowBits: 0,
  responses: 1,
  connections: 64,
  endpoints: 3,
  postBytes: 0,
  isTls: false,
  isTlsBehind: false,
  curves: '',
  isFresh: false,
  isResumed: false,
  workers: 1,
  isLogged: false,
  warmUpSeconds: 4,
  loadShare: 1,
};

const tcp = { ...plain, group: 'tcp', protocol: 'tcp' } as const;
const tls = { ...plain, group: 'tls', isTls: true } as const;
const h2 = { ...plain, group: 'h2', protocol: 'h2', connections: 16, streams: 16 } as const;

export const cases: readonly Case[] = [
  { ...plain, name: 'small', title: 'GET of 100 bytes, keep-alive, 64 connections' },
  { ...plain, name: '64k', title: 'GET of 64 KiB', path: '/files/64k' },
  {
    ...plain,
    name: '1m',
    title: 'GET of 1 MiB, 32 connections',
    path: '/files/1m',
    connections: 32,
  },
  { ...plain, name: 'post-4k', title: 'POST of 4 KiB', postBytes: 4096 },
  {
    ...{ ...plain, name: 'post-512k', title: 'POST of 512 KiB, 32 connections' },
    ...{ path: '/upload', connections: 32, postBytes: 512 * 1024 },
  },
  { ...plain, name: 'fresh', title: 'a new connection per request', isFresh: true },
  { ...plain, name: '512-connections', title: '512 connections', connections: 512 },
  { ...plain, name: '50-endpoints', title: '50 endpoints', endpoints: 50 },
  { ...plain, name: '1000-endpoints', title: '1,000 endpoints', endpoints: 1000 },
  { ...plain, name: 'two-workers', title: 'two workers, on both cores', workers: 2 },
  { ...plain, name: 'logged', title: 'with access log and metrics on', isLogged: true },
  {
    ...{ ...plain, name: 'half-load', title: 'half of the load that HAProxy manages' },
    ...{ connections: 256, loadShare: 0.5 },
  },
  { ...tcp, name: 'tcp', title: 'TCP: 100 bytes each way and a head, 64 connections' },
  {
    ...tcp,
    name: 'tcp-1m',
    title: 'TCP: 1 MiB, 32 connections',
    path: '/files/1m',
    connections: 32,
  },
  { ...tcp, name: 'tcp-fresh', title: 'TCP: a new connection for each message', isFresh: true },
  { ...tls, name: 'tls', title: 'TLS 1.3: GET of 100 bytes, keep-alive' },
  { ...tls, name: 'tls-64k', title: 'TLS 1.3: GET of 64 KiB', path: '/files/64k' },
  {
    ...{ ...tls, name: 'tls-1m', title: 'TLS 1.3: GET of 1 MiB, 32 connections' },
    ...{ path: '/files/1m', connections: 32 },
  },
  {
    ...{ ...tls, name: 'tls-post-512k', title: 'TLS 1.3: POST of 512 KiB, 32 connections' },
    ...{ path: '/upload', connections: 32, postBytes: 512 * 1024 },
  },
  {
    ...{ ...tls, name: 'tls-fresh', title: 'TLS 1.3: a full handshake per request' },
    ...{ isFresh: true, connections: 4, warmUpSeconds: 20 },
  },
  {
    ...{ ...tls, name: 'tls-resumed', title: 'TLS 1.3: a resumed handshake per request' },
    ...{ isFresh: true, isResumed: true, connections: 4, warmUpSeconds: 20 },
  },
  {
    ...{
      ...plain,
      group: 'tls',
      name: 'to-tls',
      title: 'GET of 100 bytes, endpoints with TLS 1.3',
    },
    isTlsBehind: true,
  },
  {
    ...{ ...plain, group: 'tls', name: 'to-tls-64k', title: 'GET of 64 KiB, endpoints with TLS' },
    ...{ isTlsBehind: true, path: '/files/64k' },
  },
  {
    ...{ ...plain, group: 'tls', name: 'to-tls-post-512k' },
    title: 'POST of 512 KiB, endpoints with TLS, 32 connections',
    ...{ isTlsBehind: true, path: '/upload', connections: 32, postBytes: 512 * 1024 },
  },
  { ...h2, name: 'h2', title: 'HTTP/2: GET of 100 bytes, 16 connections of 16 streams' },
  {
    ...{ ...h2, name: 'h2-alone', title: 'HTTP/2: GET of 100 bytes, 64 connections of 1 stream' },
    ...{ connections: 64, streams: 1 },
  },
  {
    ...{ ...h2, name: 'h2-64k', title: 'HTTP/2: GET of 64 KiB, 16 connections of 4 streams' },
    ...{ path: '/files/64k', streams: 4 },
  },
  {
    ...{ ...h2, name: 'h2-64k-narrow', title: 'the same, clients with windows of 16 KiB' },
    ...{ path: '/files/64k', streams: 4, windowBits: 14 },
  },
  {
    ...{ ...h2, name: 'h2-post-64k', title: 'HTTP/2: POST of 64 KiB, 16 connections of 4 streams' },
    ...{ path: '/upload', streams: 4, postBytes: 64 * 1024 },
  },
  {
    ...{ ...h2, name: 'grpc', group: 'grpc', protocol: 'grpc', path: '/answer', streams: 8 },
    title: 'gRPC: unary, 105 bytes each way, 16 connections of 8 streams',
  },
  {
    ...{ ...plain, name: 'websocket', group: 'websocket', protocol: 'websocket' },
    title: 'WebSocket: echo of 100 bytes, 64 connections',
  },
  {
    ...{
      ...plain,
      group: 'udp',
      name: 'udp',
      title: 'UDP: a session for each question, 64 sources',
    },
    protocol: 'udp',
  },
  {
    ...{
      ...plain,
      group: 'udp',
      name: 'udp-kept',
      title: 'UDP: questions in 64 sessions that last',
    },
    ...{ protocol: 'udp', responses: 'any' },
  },
  {
    ...{
      ...plain,
      group: 'udp',
      name: 'udp-one-way',
      title: 'UDP: datagrams without an answer, 64 sources',
    },
    ...{ protocol: 'udp', responses: 0 },
  },
];

/** Not cases of requests: connections that do nothing after their first request. */
export const idleCases: readonly Case[] = [
  { ...plain, name: 'idle', title: 'idle keep-alive connections' },
  {
    ...{ ...tls, name: 'tls-idle', title: 'idle keep-alive connections with TLS 1.3 and X25519' },
    curves: 'X25519',
  },
  {
    ...{
      ...tls,
      name: 'tls-idle-mlkem',
      title: 'the same, with clients that offer ML-KEM as well',
    },
    curves: 'X25519MLKEM768:X25519',
  },
  {
    ...{ ...tls, name: 'tls-idle-64k', title: 'idle with TLS 1.3, after an answer of 64 KiB' },
    ...{ curves: 'X25519', path: '/files/64k' },
  },
  {
    ...{ ...tls, name: 'tls-idle-1m', title: 'idle with TLS 1.3, after an answer of 1 MiB' },
    ...{ curves: 'X25519', path: '/files/1m' },
  },
];
