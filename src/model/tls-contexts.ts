// Secure contexts of a listener's certificates, made when a client first asks for one. They belong to
// the material they were made of: another material makes others, and connections keep theirs.
import { constants, createHash } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import { certificateFor, type TlsCertificate, type TlsMaterial } from './tls.ts';

/** Forward secrecy and authenticated encryption alone; TLS 1.3 has no others. */
const CIPHERS = [
  ...['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'],
  ...['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256'],
  ...['ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-RSA-AES256-GCM-SHA384'],
  ...['ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-RSA-CHACHA20-POLY1305'],
].join(':');

/** A ticket is good for so long at most; its key may be replaced before. */
const TICKET_SECONDS = 7200;

const contexts = new WeakMap<TlsMaterial, Map<TlsCertificate, SecureContext>>();

/** The context for the name that a client asks for; null where there is no certificate at all. */
export function contextFor(material: TlsMaterial, serverName: string): SecureContext | null {
  const certificate = certificateFor(material.certificates, serverName);
  if (certificate === null) return null;
  let made = contexts.get(material);
  if (made === undefined) {
    made = new Map();
    contexts.set(material, made);
  }
  let context = made.get(certificate);
  if (context === undefined) {
    context = makeContext(material, certificate);
    made.set(certificate, context);
  }
  return context;
}

function makeContext(material: TlsMaterial, certificate: TlsCertificate): SecureContext {
  const { minVersion, clientCa, ticketKey } = material;
  return createSecureContext({
    cert: certificate.chain,
    key: certificate.privateKey,
    ...(clientCa === '' ? {} : { ca: clientCa }),
    minVersion: minVersion === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
    ciphers: CIPHERS,
    honorCipherOrder: false,
    // A client never needs to renegotiate, and could make us work by it (RFC 7540 section 9.2.1).
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION,
    ticketKeys: Buffer.from(ticketKey),
    sessionTimeout: TICKET_SECONDS,
    sessionIdContext: sessionContextOf(material),
  });
}

/** A session is resumed only where the same is asked of clients: a ticket holds who they are. */
function sessionContextOf({ key, clientCa }: TlsMaterial): string {
  return createHash('sha256').update(`${key}\n${clientCa}`).digest('hex').slice(0, 32);
}
