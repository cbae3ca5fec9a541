// Whether the kernel hands connections that wait on a listener which closes to another one on the
// same port (Linux 5.14, Documentation/networking/ip-sysctl: tcp_migrate_req).
import { readFileSync } from 'node:fs';

const SETTING = '/proc/sys/net/ipv4/tcp_migrate_req';

/** A sentence for the log where connections may be reset when listeners close; '' where not. */
export function migrationHint(): string {
  try {
    if (readFileSync(SETTING, 'utf8').trim() !== '0') return '';
    return 'net.ipv4.tcp_migrate_req is 0: connections that are not accepted yet may be reset';
  } catch {
    // Another system, or an older kernel.
    return '';
  }
}
