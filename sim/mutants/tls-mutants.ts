// Faults of TLS that the simulator must find, on both sides of the data plane.
import { type MutantRow, mutantsOf } from './mutant.ts';

const wire = 'src/proxy/wire';

const rows: readonly MutantRow[] = [
  [
    'the end overtakes bytes that are kept',
    `${wire}/tls-wire.ts`,
    '    } else if (this.kept.length > 0) this.hasKeptEnd = true;\n    else super.ended();\n',
    '    } else super.ended();\n',
  ],
  [
    'a write behind another one is not copied',
    `${wire}/tls-wire.ts`,
    'const copy = this.copyOf(rest);',
    'const copy = rest;',
  ],
  [
    'a connection is left without close_notify',
    `${wire}/tls-wire.ts`,
    "    const isOrderly = this.state === 'open' && !this.isWaiting;\n",
    '    const isOrderly = false;\n',
  ],
  [
    'of several writes one is reported',
    `${wire}/cipher-socket.ts`,
    '    for (let i = 0; i < reports; i += 1) this.reported?.();\n',
    '    this.reported?.();\n',
  ],
  [
    'the end overtakes what waits to be encrypted',
    `${wire}/cipher-socket.ts`,
    '    if (!this.isWriting) this.shutdown(true);\n',
    '    this.shutdown(true);\n',
  ],
  [
    'the place of a handshake is not given back',
    'src/proxy/tls/handshake.ts',
    '    wheel.remove(this.timer);\n    this.place.leave();\n',
    '    wheel.remove(this.timer);\n',
  ],
  [
    'the time of a handshake goes on when it is done',
    'src/proxy/tls/handshake.ts',
    '    wheel.remove(this.timer);\n    this.place.leave();\n',
    '    this.place.leave();\n',
  ],
  [
    'the name that a client asks for is ignored',
    `${wire}/accepted-cipher.ts`,
    '      if (chosen !== null) this.cipher!.sni_context = chosen.context;\n',
    '',
  ],
  [
    'endpoints are told of no client certificate',
    'src/proxy/http/client-facts.ts',
    '  const peer = tls?.peer ?? null;\n',
    '  const peer = tls?.isResumed === true ? null : (tls?.peer ?? null);\n',
  ],
  [
    'what is kept is lost when the socket closes',
    `${wire}/tls-wire.ts`,
    '      this.hasKeptClose = true;\n      return;\n',
    '',
  ],
  [
    'an end without close_notify is one',
    `${wire}/tls-wire.ts`,
    "    if (!this.secure.isEndAuthentic || this.state === 'handshake') {\n",
    "    if (this.state === 'handshake') {\n",
  ],
  [
    'the name of an endpoint is not compared',
    `${wire}/connect-tls.ts`,
    '  const other = checkServerIdentity(tls.serverName, certificate);\n',
    '  const other = undefined;\n',
  ],
  [
    'an endpoint with TLS is not introduced to',
    `${wire}/endpoint-cipher.ts`,
    '    else this.introduce(introduction);\n',
    '    else this.encrypt();\n',
  ],
  [
    'sessions of endpoints that were refused are kept',
    `${wire}/session-keeper.ts`,
    '    if (this.isBelieved) this.keep(session);\n    else this.unproven = session;\n',
    '    this.keep(session);\n',
  ],
  [
    'renewed certificates are shown to nobody',
    'src/proxy/listener.ts',
    '    const isSame = known?.material === material && known.protocols === protocols;\n',
    '    const isSame = known?.protocols === protocols;\n',
  ],
  [
    'an endpoint that breaks off its handshake is asked no other',
    'src/proxy/connect-failure.ts',
    "  if (!code.startsWith('ERR_')) return CONNECT_FAILED;\n",
    "  if (!code.startsWith('ERR_')) return reason('bad-response');\n",
  ],
  [
    'the turn of a handshake is not given back',
    `${wire}/lobby.ts`,
    '      this.wire.onSettled = settled;\n',
    '',
  ],
  [
    'as many handshakes are begun as come',
    `${wire}/lobby.ts`,
    'underWayMax: 128',
    'underWayMax: 100_000',
  ],
  [
    'a handshake that gets nowhere keeps its turn',
    'src/base/fair-turns.ts',
    '    for (const [applicant] of stale.slice(0, 10 * beginsATurn)) applicant.cut();\n',
    '    void [stale, beginsATurn];\n',
  ],
  [
    'a handshake may take as long as it likes',
    'src/proxy/tls/handshake.ts',
    '    else wheel.schedule(this.timer, listener.timeouts.clientHeaderMs);\n',
    '',
  ],
  [
    'a route for a protocol is taken by all',
    'src/model/sni-route.ts',
    "    if (sni === '' || (alpn.length > 0 && !alpn.some((one) => protocols.includes(one))))\n",
    "    if (sni === '' || (alpn.length > 0 && protocols.includes('')))\n",
  ],
  [
    'a ClientHello in several records is read as one',
    'src/proxy/tls/client-hello.ts',
    '    at = body + length;\n',
    "    throw new Malformed('the message goes on in another record');\n",
  ],
  [
    'endpoints are told of TLS 1.3 whatever it is',
    `${wire}/tls-wire.ts`,
    "this.version = socket.getProtocol() ?? '';",
    "this.version = 'TLSv1.3';",
  ],
  [
    'a ClientHello without extensions is none',
    'src/proxy/tls/client-hello.ts',
    'fields.isAtEnd ? new Map<number, Buffer>() : readExtensions(fields)',
    'readExtensions(fields)',
  ],
];

export const tlsMutants = mutantsOf('data', rows);
