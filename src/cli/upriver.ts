// The program's entry: finds the command, checks its flags, runs it. Exit codes: 0 done, 1 failure,
// 2 bad usage or configuration.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { closest } from '../base/closest.ts';
import { codeOf, messageOf } from '../base/coded-error.ts';
import { hideCredentials } from '../base/safe-text.ts';
import type { Command, Flag, ParsedArguments } from './command.ts';
import { commands } from './commands.ts';

// `upriver schema | head` reads what it wants and goes: no failure of ours.
process.stdout.on('error', (error) => {
  if (codeOf(error) !== 'EPIPE') throw error;
  process.exit(0);
});
process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  if (argv.includes('--version')) {
    console.log(`upriver ${version()} (node ${process.versions.node})`);
    return 0;
  }
  const [first = ''] = argv;
  const isNamed = first !== '' && !first.startsWith('-');
  const command = commands.find(({ name, alias }) => name === first || alias === first);
  if (first === 'help' && argv.length > 1) return main([...argv.slice(1), '--help']);
  if (first === 'help' || (!isNamed && (argv.includes('--help') || argv.includes('-h')))) {
    console.log(helpOf(null));
    return 0;
  }
  if (isNamed && command === undefined) {
    const meant = closest(
      first,
      commands.map(({ name }) => name),
    );
    return misuse(`unknown command '${first}'${meant === null ? '' : `; did you mean ${meant}?`}`);
  }
  const chosen = command ?? commands[0]!;
  const rest = isNamed ? argv.slice(1) : argv;
  if (rest.includes('--help') || rest.includes('-h')) {
    console.log(helpOf(chosen));
    return 0;
  }
  const given = parse(chosen, rest);
  return typeof given === 'string' ? misuse(given) : chosen.run(given);
}

/** The flags and words of a command line, or what is wrong with it. */
function parse(command: Command, argv: readonly string[]): ParsedArguments | string {
  const options = Object.fromEntries(
    command.flags.map(({ name, value, isRepeatable = false }) => [
      name,
      { type: value === '' ? ('boolean' as const) : ('string' as const), multiple: isRepeatable },
    ]),
  );
  try {
    const allowPositionals = command.words !== '';
    const args = withValues(command, command.normalize?.(argv) ?? argv);
    const { values, positionals } = parseArgs({ args, options, allowPositionals });
    const extra = positionals[command.words.split(' ').length];
    if (extra !== undefined) return `${command.name}: unexpected argument '${extra}'`;
    return { flags: values, words: positionals };
  } catch (error) {
    return whatIsWrong(messageOf(error), command);
  }
}

/** `--docker` before another flag, or at the end, stands without its value. */
function withValues({ flags }: Command, argv: readonly string[]): string[] {
  const optional = flags.flatMap(({ name, isOptional }) => (isOptional ? [`--${name}`] : []));
  return argv.map((word, i) => {
    const hasNone = argv[i + 1]?.startsWith('-') !== false;
    return optional.includes(word) && hasNone ? `${word}=` : word;
  });
}

/** What node:util says of a command line, in our words where we know more. */
function whatIsWrong(message: string, command: Command): string {
  const unknown = /^Unknown option '--?([^']*)'/.exec(message)?.[1];
  if (unknown === undefined) return message.split('. ')[0]!;
  const meant = closest(
    unknown,
    command.flags.map(({ name }) => name),
  );
  const hint = meant === null ? '' : `; did you mean --${meant}?`;
  return `${command.name} has no flag '--${unknown}'${hint}`;
}

function misuse(message: string): number {
  console.error(`upriver: ${hideCredentials(message)}`);
  console.error("Run 'upriver --help' for the commands and flags.");
  return 2;
}

function helpOf(command: Command | null): string {
  if (command === null) {
    const names = commands.map(({ name, help }) => `  ${name.padEnd(13)}${help}`);
    const run = commands[0]!;
    return [
      'Usage: upriver [command] [flags]',
      '',
      'Commands:',
      ...names,
      '',
      'Flags of run:',
      ...run.flags.map(flagLine),
      '',
      "'upriver COMMAND --help' tells more; --version prints the version.",
    ].join('\n');
  }
  const words = command.words === '' ? '' : ` ${command.words}`;
  const flags = command.flags.length === 0 ? [] : ['', 'Flags:', ...command.flags.map(flagLine)];
  const codes = command.exitCodes === undefined ? [] : ['', `Exit codes: ${command.exitCodes}.`];
  const usage = `Usage: upriver ${command.name}${words} [flags]`;
  return [usage, '', command.help, ...flags, ...codes].join('\n');
}

function flagLine({ name, value, environment, help, isRepeatable, isOptional }: Flag): string {
  const shown = isOptional === true ? `[${value}]` : value;
  const head = `  --${name}${value === '' ? '' : ` ${shown}`}`;
  const notes = [environment, isRepeatable ? 'repeatable' : ''].filter((note) => note !== '');
  const tail = notes.length === 0 ? '' : ` [${notes.join(', ')}]`;
  return `${head.padEnd(36)}${help}${tail}`;
}

function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  // Our own file.
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
