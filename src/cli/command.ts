// What a command and a flag are, and what a command is given.

export interface Flag {
  readonly name: string;
  /** What its value is called in help; '' for a switch. */
  readonly value: string;
  /** It may stand without its value. */
  readonly isOptional?: boolean;
  /** The variable that sets the same; '' for none. */
  readonly environment: string;
  readonly isRepeatable?: boolean;
  readonly help: string;
}

export interface ParsedArguments {
  /** Values by flag name: text, a list for repeatable ones, true for switches. */
  readonly flags: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;
  readonly words: readonly string[];
}

export interface Command {
  readonly name: string;
  readonly alias?: string;
  /** Words after the command, for help: `SERVICE ENDPOINT`. */
  readonly words: string;
  readonly help: string;
  /** Where they are others than the program's. */
  readonly exitCodes?: string;
  readonly flags: readonly Flag[];
  /** Brings the words of another program's command line into our form. */
  readonly normalize?: (argv: readonly string[]) => string[];
  /** Runs it; resolves with the exit code. */
  readonly run: (given: ParsedArguments) => Promise<number>;
}
