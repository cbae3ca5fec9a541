// Faults of what docs/udp.md promises, which the simulator must find.
import { type MutantRow, mutantsOf } from './mutant.ts';

const udp = 'src/proxy/udp';

const rows: readonly MutantRow[] = [
  [
    'sources of one address share a session',
    `${udp}/listener.ts`,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the text of the source
    'const key = `${via.name} ${address} ${port}`;',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the text of the source
    'const key = `${via.name} ${address}`;',
  ],
  [
    'the place of a UDP session is not given back',
    `${udp}/session.ts`,
    '    this.placement.end(0);\n    this.place.leave();\n',
    '    this.placement.end(0);\n',
  ],
  [
    'a session does not end with its last answer',
    `${udp}/session.ts`,
    '    if (this.awaited.isComplete(live.service.udp.responses)) this.end(null);\n',
    "    if (this.state === 'leaving') this.end(null);\n",
  ],
  [
    'a UDP session is never idle',
    `${udp}/session.ts`,
    '      wheel.schedule(this.timer, timeouts.idleUdpMs);\n',
    '      wheel.cancel(this.timer);\n',
  ],
  [
    'datagrams that were answered are sent again',
    `${udp}/awaited-answers.ts`,
    '    if (!isOwed) this.clear();\n',
    '',
  ],
  [
    'the sockets of a one-way service outlive its endpoints',
    `${udp}/listener.ts`,
    '    this.snapshot = snapshot;\n    this.service = services.get(snapshot.service) ?? null;\n    this.oneWay?.review();\n',
    '    this.snapshot = snapshot;\n    this.service = services.get(snapshot.service) ?? null;\n',
  ],
];

export const udpMutants = mutantsOf('udp', rows);
