// `upriver completion SHELL`: scripts made from the table of commands. Names of services and endpoints
// come from the running instance, by `upriver names`.
import type { Command } from './command.ts';

/** Prints the script for `shell`. Returns the exit code. */
export function completion(shell: string, commands: readonly Command[]): number {
  const make = { bash, zsh, fish }[shell];
  if (make === undefined) {
    console.error(`upriver: completion: '${shell}': expected bash, zsh or fish`);
    return 2;
  }
  console.log(make(commands));
  return 0;
}

const flagsOf = (command: Command) => command.flags.map(({ name }) => `--${name}`).join(' ');

/** Commands whose first word is a service, as a pattern of the shell; those that take an endpoint too. */
function named(commands: readonly Command[], word: string): string[] {
  return commands
    .filter(({ words }) => new RegExp(`^\\[?${word}\\b`).test(words))
    .map(({ name }) => name);
}

const services = (commands: readonly Command[]) => named(commands, 'SERVICE');
const endpoints = (commands: readonly Command[]) => named(commands, 'SERVICE \\[?ENDPOINT');

function bash(commands: readonly Command[]): string {
  const cases = commands.map((command) => `    ${command.name}) words="${flagsOf(command)}" ;;`);
  return `_upriver() {
  local words current="\${COMP_WORDS[COMP_CWORD]}" command="\${COMP_WORDS[1]}"
  case "$command" in
${cases.join('\n')}
    *) words="${commands.map(({ name }) => name).join(' ')} --help --version" ;;
  esac
  if [[ "$current" != -* ]]; then
    case "$COMP_CWORD $command" in
      ${pattern('2 ', services(commands))}) words="$(upriver names 2>/dev/null)" ;;
      ${pattern('3 ', endpoints(commands))}) words="$(upriver names "\${COMP_WORDS[2]}" 2>/dev/null)" ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _upriver upriver`;
}

function pattern(position: string, names: readonly string[]): string {
  return names.map((name) => `"${position}${name}"`).join('|');
}

function zsh(commands: readonly Command[]): string {
  const names = commands.map(({ name, help }) => `    '${name}:${help.replaceAll("'", '')}'`);
  const cases = commands.map((command) => `    ${command.name}) compadd -- ${flagsOf(command)} ;;`);
  return `#compdef upriver
_upriver() {
  local -a commands=(
${names.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  case "$CURRENT $words[2]" in
    ${pattern('3 ', services(commands))}) compadd -- \${(f)"$(upriver names 2>/dev/null)"} ;;
    ${pattern('4 ', endpoints(commands))}) compadd -- \${(f)"$(upriver names "$words[3]" 2>/dev/null)"} ;;
  esac
  case "$words[2]" in
${cases.join('\n')}
  esac
  _files
}
compdef _upriver upriver`;
}

function fish(commands: readonly Command[]): string {
  const nth = (names: readonly string[], count: number) =>
    `'__fish_seen_subcommand_from ${names.join(' ')}; and test (count (commandline -opc)) -eq ${count}'`;
  return [
    ...commands.flatMap(({ name, help, flags }) => [
      `complete -c upriver -n __fish_use_subcommand -a ${name} -d '${help.replaceAll("'", '')}'`,
      ...flags.map(
        (flag) =>
          `complete -c upriver -n '__fish_seen_subcommand_from ${name}' -l ${flag.name}${flag.value === '' ? '' : ' -r'} -d '${flag.help.replaceAll("'", '')}'`,
      ),
    ]),
    `complete -c upriver -n ${nth(services(commands), 2)} -f -a '(upriver names 2>/dev/null)'`,
    `complete -c upriver -n ${nth(endpoints(commands), 3)} -f -a '(upriver names (commandline -opc)[3] 2>/dev/null)'`,
  ].join('\n');
}
