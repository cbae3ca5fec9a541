// Faults of challenges of ACME that are answered by TLS and HTTP.
import { type MutantRow, mutantsOf } from './mutant.ts';

const challenges = 'src/proxy/tls/challenges.ts';

const rows: readonly MutantRow[] = [
  [
    'the certificate of a challenge is left in place',
    challenges,
    '    this.tls.clear();\n',
    '    void this.tls;\n',
  ],
  [
    'a challenge is answered for any name',
    challenges,
    '    return this.tls.get(serverName) ?? null;',
    '    return this.tls.get(serverName) ?? this.tls.values().next().value ?? null;',
  ],
  [
    'a challenge is answered to who offers more',
    challenges,
    'if (protocols.length !== 1 || protocols[0] !== CHALLENGE_PROTOCOL) return null;',
    'if (protocols[0] !== CHALLENGE_PROTOCOL) return null;',
  ],
  [
    'the certificate of a challenge is shown to all',
    challenges,
    'if (protocols.length !== 1 || protocols[0] !== CHALLENGE_PROTOCOL) return null;',
    'if (protocols.length > 9) return null;',
  ],
  [
    'a ClientHello in several records is no challenge',
    challenges,
    "        return hello.kind === 'partial' && bytes.length <= CLIENT_HELLO_BYTES_MAX ? 'more' : null;",
    "        return hello.kind === 'partial' && bytes.length < 1 ? 'more' : null;",
  ],
  [
    'what was looked into for a challenge is lost',
    'src/proxy/wire/accept-peeked.ts',
    '    socket.unshift(bytes);\n',
    '    socket.unshift(bytes.subarray(0, 0));\n',
  ],
  [
    'who has had its challenge answered is served',
    'src/proxy/tls/handshake.ts',
    'if (wire.tls!.protocol === CHALLENGE_PROTOCOL) return this.endChallenge();',
    'if (wire.tls!.protocol === CHALLENGE_PROTOCOL.slice(1)) return this.endChallenge();',
  ],
  ['the token of a challenge is left in place', challenges, '    this.http.clear();\n', ''],
  [
    'who asks for a token that is none is routed',
    'src/proxy/http/judgement.ts',
    "    if (text === '') return refuse(NO_SERVICE, null, 'no such challenge is outstanding');\n    if (text !== null) return",
    '    if (text) return',
  ],
];

export const orderMutants = mutantsOf('data', rows);
