// The same bytes to our parser and to Node's own server (llhttp, strict, over loopback): the two
// agree on the requests they see and on whether the connection ends in a fault, or the difference
// stands in the table below with its reason. A difference that isn't there fails, and so does an
// entry that is none any more.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BODIES } from './corpus/bodies.ts';
import { REQUESTS } from './corpus/requests.ts';
import { bytesOf, type ReadRequest, readRequests } from './reader.ts';

interface Reading {
  readonly requests: readonly ReadRequest[];
  /** Whether the connection ended between two requests. */
  readonly isClean: boolean;
}

/** Reasons that several rows share. */
const HOST = 'we check Host as uri-host [":" port]; Node takes any value';
const FORM =
  'we take the four forms of a target, each for its methods; Node takes any path-like text';
const NOMINATION = 'we refuse a Connection that names a field which must go on; Node ignores names';
const SPACES = 'we take exactly one SP; Node skips further ones';
const UPGRADE =
  'we judge the request alone; Node reads nothing behind a request that asks to upgrade';
const METHOD = 'we take any token, for unknown methods are the endpoint to judge; Node has a list';
const VERSION = 'we speak HTTP/1.0 and 1.1; Node parses 0.9 and 2.0 in a request line like 1.1';

/** Rows by what they are about, and why we read them otherwise than Node. */
const DIFFERENCES: Readonly<Record<string, string>> = {
  'two empty lines before the request line': 'we skip one; Node skips any number',
  'a bare LF before the request line': 'we skip CRLF alone; Node skips bare LFs',
  'two spaces after the method': SPACES,
  'two spaces before the version': SPACES,
  'a method of our own making passes': METHOD,
  'methods have case: get is not GET': METHOD,
  'HTTP/2.0 in a request line': VERSION,
  'HTTP/0.9 written out': VERSION,
  'a fragment in the target': 'we refuse #, at which some servers cut the path; Node passes it',
  'userinfo in the authority': HOST,
  'absolute form with an empty authority': HOST,
  'another scheme': FORM,
  'authority form belongs to CONNECT': 'bytes behind CONNECT are a tunnel to Node; we open none',
  'CONNECT without a port': FORM,
  'CONNECT with a path': FORM,
  'asterisk form with GET': FORM,
  'an asterisk with more behind it': FORM,
  'a field line that never ends': 'we close after a missing Host; Node reads the next request',
  'a request line that never ends': 'we refuse what has no version; Node takes it for HTTP/0.9',
  'another coding below chunked': 'we have no coding but chunked; Node hands the coded body on',
  'tabs and spaces behind chunked':
    'white space ends a field line as it begins one; Node refuses it',
  'Transfer-Encoding in HTTP/1.0':
    'its framing is faulty (RFC 9112 section 6.1); Node reads chunks',
  'two Hosts': HOST,
  'two Hosts in HTTP/1.0': HOST,
  'an empty Host': HOST,
  'a Host that is a broken IPv6 address': HOST,
  'an IPv6 address without its end': HOST,
  'a port beyond 65535': HOST,
  'a port that is no number': HOST,
  'userinfo in Host': HOST,
  'a path in Host': HOST,
  'a blank in Host': HOST,
  'a list in Host': HOST,
  'a bad escape in Host': HOST,
  'Connection names Host': NOMINATION,
  'Connection names Content-Length': NOMINATION,
  'Connection names Authorization': NOMINATION,
  'Connection names Cookie': NOMINATION,
  'Connection names X-Forwarded-For': NOMINATION,
  'a Connection option that is no token': NOMINATION,
  'more Connection options than anyone needs': NOMINATION,
  'an upgrade that is asked for by both fields': UPGRADE,
  'an upgrade in HTTP/1.0': UPGRADE,
  'an upgrade with a body': UPGRADE,
  'two Upgrade fields': UPGRADE,
  'another expectation': 'we close after it; Node answers 417 and reads the next request',
  'an expectation in HTTP/1.0 is ignored, and stays here':
    'the parser reads what follows; whether HTTP/1.0 goes on is the connection to decide, as Node did',
  'body: framing, routing and authentication in a trailer stay here':
    'we drop such trailers; Node refuses Content-Length among them and passes the others',
  'body: a trailer that never ends': 'we bound trailers at 8 KiB, less than a head',
  'a request behind trailers':
    'we drop such trailers; Node refuses Content-Length among them and passes the others',
};

/** The connections of the server, by the client's port. */
const readings = new Map<number, { requests: ReadRequest[]; isClean: boolean }>();

const server = createServer({ maxHeaderSize: 32_768 });

function readingOf(request: IncomingMessage) {
  return readings.get(request.socket.remotePort!)!;
}

function onRequest(request: IncomingMessage, response: ServerResponse): void {
  let body = '';
  request.setEncoding('latin1');
  request.on('data', (text: string) => {
    body += text;
  });
  request.on('end', () => {
    readingOf(request).requests.push({ method: request.method!, target: request.url!, body });
    response.end();
  });
}

server.on('request', onRequest);
server.on('checkContinue', onRequest);
server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
  readingOf(request).isClean = false;
  response.writeHead(417, { connection: 'close' }).end();
});
server.on('connect', (request: IncomingMessage, socket) => {
  readingOf(request).requests.push({ method: 'CONNECT', target: request.url!, body: '' });
  socket.end();
});
server.on('connection', (socket) => {
  readings.set(socket.remotePort!, { requests: [], isClean: true });
});
server.on('clientError', (_, socket) => {
  // Its type does not say that it is a socket of net.
  const port = 'remotePort' in socket ? socket.remotePort : undefined;
  if (typeof port === 'number') readings.get(port)!.isClean = false;
  socket.destroy();
});

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterAll(async () => {
  server.close();
  await once(server, 'close');
});

async function readByNode(bytes: Buffer): Promise<Reading> {
  const { port } = server.address() as AddressInfo;
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  await once(socket, 'connect');
  const { localPort } = socket;
  let answer = '';
  socket.setEncoding('latin1');
  socket.on('data', (text: string) => {
    answer += text;
  });
  socket.on('end', () => socket.destroy());
  // A fault is answered with a reset when bytes are left unread.
  socket.on('error', () => socket.destroy());
  socket.end(bytes);
  await once(socket, 'close');
  const reading = readings.get(localPort!)!;
  // Node answers a missing or repeated Host by itself, with no event for it.
  const isRefused = answer.includes('HTTP/1.1 400 ') || answer.includes('HTTP/1.1 417 ');
  return { requests: reading.requests, isClean: reading.isClean && !isRefused };
}

function readByUs(bytes: Buffer): Reading {
  const { requests, end } = readRequests(bytes);
  return { requests, isClean: end === 'end' };
}

const CHUNKED = 'POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';

/** A request that must come out as itself behind whatever the row is about. */
const NEXT = 'GET /next HTTP/1.1\r\nHost: a\r\n\r\n';

/** Five bytes: a body for whoever believes in Content-Length: 5, and for whoever in chunks. */
const FIVE = '0\r\n\r\n';

/** What a row is about, and byte strings that it is tried with. */
const inputs: readonly { about: string; tries: readonly string[] }[] = [
  ...REQUESTS.map(({ about, bytes, gives }) => ({
    about,
    tries: gives === 'more' ? [bytes] : [bytes, bytes + FIVE + NEXT],
  })),
  ...BODIES.map(({ about, bytes }) => ({
    about: `body: ${about}`,
    tries: [CHUNKED + bytes, CHUNKED + bytes + NEXT],
  })),
  { about: 'two requests one behind the other', tries: [NEXT + NEXT] },
  {
    about: 'a request behind a body of known length',
    tries: [`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello${NEXT}`],
  },
  {
    about: 'a request behind a chunked body',
    tries: [`${CHUNKED}5\r\nhello\r\n0\r\n\r\n${NEXT}`],
  },
  {
    about: 'a request behind trailers',
    tries: [`${CHUNKED}0\r\nA: b\r\nContent-Length: 9\r\n\r\n${NEXT}`],
  },
];

describe("the same bytes to Node's own server", () => {
  it.each(inputs.map((input) => [input.about, input] as const))('%s', async (about, { tries }) => {
    const ours = tries.map((text) => readByUs(bytesOf(text)));
    const theirs: Reading[] = [];
    for (const text of tries) theirs.push(await readByNode(bytesOf(text)));
    const why = DIFFERENCES[about];
    if (why === undefined) expect(ours).toEqual(theirs);
    else expect(ours, `no difference any more: ${why}`).not.toEqual(theirs);
  });

  it('differs in nothing that is not in the corpus', () => {
    const known = new Set(inputs.map((input) => input.about));
    expect(Object.keys(DIFFERENCES).filter((about) => !known.has(about))).toEqual([]);
  });
});
