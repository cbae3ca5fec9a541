// The attacker's process: begins the attack that its arguments name, says so on stdout, and prints
// its note when it is asked to end. Its parent ends it by pid where it does not.
import type { Target } from './attack.ts';
import { rows } from './rows.ts';

const [name = '', json = '{}'] = process.argv.slice(2);
const row = rows.find((one) => one.name === name);
if (row === undefined) throw new Error(`no attack is called '${name}'`);
// Our own parent wrote it.
const running = await row.start(JSON.parse(json) as Target);
process.once('message', () => {
  process.send?.({ note: running.note() });
  running.stop();
  process.disconnect?.();
  setTimeout(() => process.exit(0), 500).unref();
});
process.once('disconnect', () => process.exit(0));
process.send?.({ note: '' });
