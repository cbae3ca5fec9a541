// Faults of connections that wait for their TLS handshake, which the simulator must find.
import { type Mutant, type MutantRow, mutantsOf } from './mutant.ts';

const lobby = 'src/proxy/wire/lobby.ts';

const rows: readonly MutantRow[] = [
  ['what was read in the lobby is lost', lobby, 'first: bytes.take()', 'first: Buffer.alloc(0)'],
  [
    'who says nothing stays in the lobby',
    lobby,
    'parts.clock.setTimer(parts.timeoutMs, () => this.onGone())',
    'parts.clock.setTimer(parts.timeoutMs, () => {})',
  ],
  [
    'who is given up in the lobby is never closed',
    lobby,
    '    this.timer ??= this.clock.setTicker(STEP_MS, () => this.step());\n',
    '',
  ],
  [
    'who left the lobby keeps its turn',
    lobby,
    '    parts.arriving.remove(this);\n    parts.turns.leave(this);\n',
    '    parts.arriving.remove(this);\n',
  ],
];

export const lobbyMutants: readonly Mutant[] = mutantsOf('data', rows);
