// `upriver completion SHELL`: scripts made from the table of commands.
import type { Command } from './command.ts';

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

function bash(commands: readonly Command[]): string {
  const cases = commands.map((command) => `    ${command.name}) words="${flagsOf(command)}" ;;`);
  return `_upriver() {
  local words current="\${COMP_WORDS[COMP_CWORD]}"
  case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
    *) words="${commands.map(({ name }) => name).join(' ')} --help --version" ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _upriver upriver`;
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
  case "$words[2]" in
${cases.join('\n')}
  esac
  _files
}
compdef _upriver upriver`;
}

function fish(commands: readonly Command[]): string {
  return commands
    .flatMap(({ name, help, flags }) => [
      `complete -c upriver -n __fish_use_subcommand -a ${name} -d '${help.replaceAll("'", '')}'`,
      ...flags.map(
        (flag) =>
          `complete -c upriver -n '__fish_seen_subcommand_from ${name}' -l ${flag.name}${flag.value === '' ? '' : ' -r'} -d '${flag.help.replaceAll("'", '')}'`,
      ),
    ])
    .join('\n');
}
