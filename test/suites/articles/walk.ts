// A row of the table in docs/replaces.md, and how its walk-through is run.
import type { ArticleStage } from '../../support/article-stage.ts';

export interface Row {
  /** What is replaced. */
  readonly setUp: string;
  /** How it is started, as its own article or documentation has it. */
  readonly command: string;
  /** What to run instead, or the service to put into the configuration: `redis: { listen: 6379 }`. */
  readonly instead: string;
}

export interface Walking {
  readonly stage: ArticleStage;
  readonly row: Row;
  /** What to run instead of another set-up that the article starts as well. */
  readonly insteadOf: (setUp: string) => string;
}

export type Walk = (walking: Walking) => Promise<void>;

/** The rows of the table of a page; a cell begins with its command, and may go on with words. */
export function rowsOf(page: string): Row[] {
  const lines = page.split('\n').filter((line) => line.startsWith('| '));
  return lines.slice(2).map((line) => {
    const [setUp = '', command = '', instead = ''] = line.slice(2).split(' | ');
    return { setUp, command: codeOf(command, line), instead: codeOf(instead, line) };
  });
}

function codeOf(cell: string, line: string): string {
  const [, code = ''] = /`([^`]+)`/.exec(cell) ?? [];
  if (code === '') throw new Error(`expected a command in each cell: ${line}`);
  return code;
}

/** Whether a command is run, and not a service configured. */
export function isCommand({ instead }: Row): boolean {
  return /^(?:docker run|upriver) /.test(instead);
}

/** The options that say what is balanced, published or mounted: `-e CONSUL=...`, `-p 80:80`, ... */
export function wishesOf(command: string): string[] {
  return [...command.matchAll(/ (?:-[epvh]|--net|--volume)[ =]("[^"]*"|\S+)/g)].map(([wish]) =>
    wish.trim().replaceAll('"', ''),
  );
}

/** The same `docker run`, of a container with this name. */
export function named(command: string, name: string): string {
  return command.replace(/ --name[ =]\S+/, '').replace('docker run', `docker run --name ${name}`);
}
